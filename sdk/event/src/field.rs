//! The fields of an event by name and as bits, so that a rule can say what it reads and a host writes no more.

/// A standard field of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Field {
    /// Which machine.
    Host = 1,
    /// Which thing on it.
    Service = 2,
    /// How it is: `ok`, `warning`, `critical` or a word of the sender's own.
    State = 3,
    /// Free text.
    Description = 4,
    /// For how many seconds the event is valid.
    Ttl = 5,
    /// Short labels.
    Tags = 6,
    /// Names and values of the sender's own.
    Attributes = 7,
    /// When.
    Time = 8,
    /// How much.
    Metric = 9,
}

impl Field {
    /// Every standard field.
    pub const ALL: [Self; 9] = [
        Self::Host,
        Self::Service,
        Self::State,
        Self::Description,
        Self::Ttl,
        Self::Tags,
        Self::Attributes,
        Self::Time,
        Self::Metric,
    ];

    /// Its name in queries and manifests.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Service => "service",
            Self::State => "state",
            Self::Description => "description",
            Self::Ttl => "ttl",
            Self::Tags => "tags",
            Self::Attributes => "attributes",
            Self::Time => "time",
            Self::Metric => "metric",
        }
    }

    /// The field of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    /// The field with that number in an effect's overrides.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|field| *field as u8 == code)
    }
}

/// A set of fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(pub u32);

impl FieldSet {
    /// No field: the rows alone, with their numbers, keys and slots.
    pub const NONE: Self = Self(0);
    /// Every field.
    pub const ALL: Self = Self(0x3fe);

    /// The same set with one more field.
    #[must_use]
    pub const fn with(self, field: Field) -> Self {
        Self(self.0 | 1 << field as u32)
    }

    /// The fields in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the field is in the set.
    pub const fn has(self, field: Field) -> bool {
        self.0 & (1 << field as u32) != 0
    }
}

impl FromIterator<Field> for FieldSet {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        fields.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_every_field() {
        assert_eq!(Field::ALL.into_iter().collect::<FieldSet>(), FieldSet::ALL);
        for field in Field::ALL {
            assert_eq!(Field::named(field.name()), Some(field));
            assert_eq!(Field::from_code(field as u8), Some(field));
        }
        assert!(!FieldSet::NONE.with(Field::Host).has(Field::Service));
    }
}
