/// The beginning of a text from outside, quoted, with control characters escaped: fit for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Gives a type that has `Display` and `FromStr` the same text form in serde.
macro_rules! serde_as_text {
    ($type:ty, $expected:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

pub(crate) use serde_as_text;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_excerpt_is_short_and_holds_no_control_characters() {
        assert_eq!(excerpt("a\u{1b}[31m\nb"), r#""a\u{1b}[31m\nb""#);
        let long = excerpt(&"x".repeat(10_000));
        assert_eq!(long, format!("\"{}\"…", "x".repeat(80)));
    }

    proptest! {
        #[test]
        fn no_text_makes_an_excerpt_long_or_dangerous(text in any::<String>()) {
            let shown = excerpt(&text);
            prop_assert!(shown.chars().all(|c| !c.is_control()));
            prop_assert!(shown.chars().count() <= 80 * 10 + 3, "{}", shown);
        }
    }
}
