//! Tables that are written as tables alone.

/// Lets structs be read from TOML tables. What serde derives also takes an array, with its elements for the fields in
/// their order: `stop = []` would be a table without keys. So the derived function is no trait's (`remote = "Self"`), and
/// only tables are handed to it.
macro_rules! tables {
    ($($table:ident: $expected:literal;)+) => {
        $(
            impl<'de> serde::Deserialize<'de> for $table {
                fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    struct TableVisitor;

                    impl<'de> serde::de::Visitor<'de> for TableVisitor {
                        type Value = $table;

                        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                            f.write_str($expected)
                        }

                        fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$table, A::Error> {
                            $table::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                        }
                    }

                    deserializer.deserialize_any(TableVisitor)
                }
            }
        )+
    };
}

pub(super) use tables;
