//! From text and overrides to a checked configuration, and who is wrong where there is none.

use std::{io, path::Path};

use crate::config::error::ConfigError;
use crate::config::overrides;
use crate::config::tables::Config;
use crate::files::{self, SMALL_BYTES_MAX};

impl Config {
    /// Reads `file`, applies `sets` (each `section.key=value`, in order) and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`], naming file and line, override, or key.
    pub fn load(file: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let text = files::read(file, SMALL_BYTES_MAX)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| not_utf8()))
            .map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
        Self::parse(file, &text, sets)
    }

    /// As [`Config::load`], of a text that stands for the content of `file`.
    ///
    /// # Errors
    /// As [`Config::load`], without the reading.
    pub fn parse(file: &Path, text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        let mut table: toml::Table =
            toml::from_str(text).map_err(|error| parse_error(file, text, &error))?;
        for text in sets {
            overrides::apply(&mut table, text)?;
        }
        let mut config: Self = match table.try_into() {
            Ok(config) => config,
            Err(error) => return Err(locate_error(file, text, sets, &error)),
        };
        config.file = file.to_owned();
        config.check()?;
        Ok(config)
    }
}

fn not_utf8() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8")
}

/// Locates the error of a table that is not a configuration: a line of the file or an override.
fn locate_error(file: &Path, text: &str, sets: &[String], error: &toml::de::Error) -> ConfigError {
    let Err(error_of_file) = toml::from_str::<Config>(text) else {
        // The file alone is fine, so some override is not: the first that breaks it.
        let mut table: toml::Table = toml::from_str(text).unwrap_or_default();
        for text in sets {
            let invalid = overrides::apply(&mut table, text).is_err();
            if let (false, Err(error)) = (invalid, table.clone().try_into::<Config>()) {
                return ConfigError::Set { set: text.clone(), problem: one_line(error.message()) };
            }
        }
        let problem = one_line(&error.to_string());
        return ConfigError::Parse { file: file.to_owned(), position: String::new(), problem };
    };
    parse_error(file, text, &error_of_file)
}

fn parse_error(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let position = error.span().map_or_else(String::new, |span| {
        let before = text.get(..span.start).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!(", line {line}, column {column}")
    });
    ConfigError::Parse { file: file.to_owned(), position, problem: one_line(error.message()) }
}

/// A parser's message without its line breaks.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
