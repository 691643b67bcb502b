//! Groups of kinds of files: each has a topic and a collector of its own.

/// A group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// Data of one program.
    Application,
    /// Files that hold files or arrays, packed or not.
    Archive,
    /// Sounds.
    Audio,
    /// What programs are written in, and what they exchange.
    Code,
    /// Pages to be read.
    Document,
    /// What machines execute.
    Executable,
    /// Letters.
    Font,
    /// Pictures and shapes.
    Image,
    /// What is no content: a file of no bytes.
    Inode,
    /// Texts.
    Text,
    /// What is of no group.
    Unknown,
    /// Moving pictures.
    Video,
}

impl Group {
    /// All of them, by number.
    pub const ALL: [Self; 12] = [
        Self::Application,
        Self::Archive,
        Self::Audio,
        Self::Code,
        Self::Document,
        Self::Executable,
        Self::Font,
        Self::Image,
        Self::Inode,
        Self::Text,
        Self::Unknown,
        Self::Video,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Archive => "archive",
            Self::Audio => "audio",
            Self::Code => "code",
            Self::Document => "document",
            Self::Executable => "executable",
            Self::Font => "font",
            Self::Image => "image",
            Self::Inode => "inode",
            Self::Text => "text",
            Self::Unknown => "unknown",
            Self::Video => "video",
        }
    }

    /// The group of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbered_and_named() {
        for (number, group) in Group::ALL.into_iter().enumerate() {
            assert_eq!((group as usize, Group::named(group.name())), (number, Some(group)));
        }
        assert_eq!(Group::named("Code"), None);
    }
}
