//! From text and overrides to a checked configuration, and who is wrong where there is none.

use std::{io, path::Path};

use crate::config::error::ConfigError;
use crate::config::nearest::with_nearest;
use crate::config::overrides;
use crate::config::quantities;
use crate::config::tables::Config;
use crate::files::{self, SMALL_BYTES_MAX};

impl Config {
    /// Reads `file`, applies `sets` (each `section.key=value`, in order) and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`], naming file and line, override, or key.
    pub fn load(file: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let text = text_of(file, files::read(file, SMALL_BYTES_MAX))?;
        Self::parse(file, &text, sets)
    }

    /// As [`Config::load`], from standard input, which is called `stdin`; paths are relative to the
    /// working directory.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_stdin(sets: &[String]) -> Result<Self, ConfigError> {
        let file = Path::new("stdin");
        let bytes = files::read_all(io::stdin().lock(), SMALL_BYTES_MAX);
        Self::parse(file, &text_of(file, bytes)?, sets)
    }

    /// As [`Config::load`], of a text that stands for the content of `file`.
    ///
    /// # Errors
    /// As [`Config::load`], without the reading.
    pub fn parse(file: &Path, text: &str, sets: &[String]) -> Result<Self, ConfigError> {
        let text = &quantities::spelled_out(text).map_err(|(range, problem)| {
            let position = position(text, range.start);
            ConfigError::Parse { file: file.to_owned(), position, problem }
        })?;
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

fn text_of(file: &Path, bytes: io::Result<Vec<u8>>) -> Result<String, ConfigError> {
    let not_utf8 = || io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8");
    bytes
        .and_then(|bytes| String::from_utf8(bytes).map_err(|_| not_utf8()))
        .map_err(|source| ConfigError::Read { file: file.to_owned(), source })
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
    let position = error.span().map_or_else(String::new, |span| position(text, span.start));
    ConfigError::Parse { file: file.to_owned(), position, problem: one_line(error.message()) }
}

/// `, line L, column C` of a byte of `text`.
fn position(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!(", line {line}, column {column}")
}

/// A parser's message without its line breaks, and with the known word nearest to an unknown one.
fn one_line(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    with_nearest(&lines.join("; "))
}
