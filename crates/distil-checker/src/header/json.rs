//! The JSON of a header, read once and straight into types: a name that is there twice, a field that does not belong there
//! and whatever is too long are refused as they are met.

use std::fmt;

use safetensors::Dtype;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{MAX_DIMENSIONS, MAX_TENSOR_NAME_BYTES};
use crate::text::quoted;

const METADATA: &str = "__metadata__";

/// A tensor as the JSON gives it: a bounded and printable name, a known dtype, and numbers that nobody has looked at.
pub(super) struct RawTensor {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
    pub(super) offsets: [u64; 2],
}

/// The whole header: an object from names to tensors, and perhaps `__metadata__`.
pub(super) struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Vec<RawTensor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut tensors = Vec::new();
        let mut has_metadata = false;
        while let Some(name) = map.next_key_seed(NameSeed)? {
            if name == METADATA {
                if std::mem::replace(&mut has_metadata, true) {
                    return Err(A::Error::custom("__metadata__ is there twice"));
                }
                map.next_value_seed(MetadataSeed)?;
            } else {
                tensors.push(map.next_value_seed(TensorSeed { name })?);
            }
        }
        Ok(tensors)
    }
}

/// A tensor's name.
struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a tensor")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<String, E> {
        let problem = match name {
            "" => "is empty",
            _ if name.len() > MAX_TENSOR_NAME_BYTES => "is too long",
            _ if !name.bytes().all(|byte| byte.is_ascii_graphic()) => "has characters other than printable ASCII",
            _ => return Ok(name.to_owned()),
        };
        Err(E::custom(format_args!("the tensor name {} {problem}", quoted(name))))
    }
}

/// Text to text. Nothing here looks at it, so it is not kept.
struct MetadataSeed;

impl<'de> DeserializeSeed<'de> for MetadataSeed {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MetadataSeed {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts as __metadata__")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(AnyText)?;
        }
        Ok(())
    }
}

struct AnyText;

impl<'de> DeserializeSeed<'de> for AnyText {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for AnyText {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in __metadata__")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// One tensor: `dtype`, `shape` and `data_offsets`, each once and nothing else.
struct TensorSeed {
    name: String,
}

impl<'de> DeserializeSeed<'de> for TensorSeed {
    type Value = RawTensor;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawTensor, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TensorSeed {
    type Value = RawTensor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with dtype, shape and data_offsets for tensor {}", quoted(&self.name))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawTensor, A::Error> {
        let name = self.name;
        let of_tensor =
            |problem: &dyn fmt::Display| A::Error::custom(format_args!("tensor {}: {problem}", quoted(&name)));
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(field) = map.next_key_seed(FieldSeed).map_err(|error| of_tensor(&error))? {
            let is_second = match field {
                Field::Dtype => dtype.replace(map.next_value_seed(DtypeSeed).map_err(|e| of_tensor(&e))?).is_some(),
                Field::Shape => shape.replace(map.next_value_seed(ShapeSeed).map_err(|e| of_tensor(&e))?).is_some(),
                Field::Offsets => offsets.replace(map.next_value::<[u64; 2]>().map_err(|e| of_tensor(&e))?).is_some(),
            };
            if is_second {
                return Err(of_tensor(&"a field is there twice"));
            }
        }
        match (dtype, shape, offsets) {
            (Some(dtype), Some(shape), Some(offsets)) => Ok(RawTensor { name, dtype, shape, offsets }),
            _ => Err(of_tensor(&"dtype, shape or data_offsets is missing")),
        }
    }
}

enum Field {
    Dtype,
    Shape,
    Offsets,
}

struct FieldSeed;

impl<'de> DeserializeSeed<'de> for FieldSeed {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldSeed {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dtype, shape or data_offsets")
    }

    fn visit_str<E: serde::de::Error>(self, field: &str) -> Result<Field, E> {
        match field {
            "dtype" => Ok(Field::Dtype),
            "shape" => Ok(Field::Shape),
            "data_offsets" => Ok(Field::Offsets),
            _ => Err(E::custom(format_args!("{} is no field of a tensor", quoted(field)))),
        }
    }
}

struct DtypeSeed;

impl<'de> DeserializeSeed<'de> for DtypeSeed {
    type Value = Dtype;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Dtype, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for DtypeSeed {
    type Value = Dtype;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a dtype")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Dtype, E> {
        let known =
            serde::Deserialize::deserialize(serde::de::value::StrDeserializer::<serde::de::value::Error>::new(name));
        known.map_err(|_| E::custom(format_args!("unknown dtype {}", quoted(name))))
    }
}

struct ShapeSeed;

impl<'de> DeserializeSeed<'de> for ShapeSeed {
    type Value = Vec<u64>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u64>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed {
    type Value = Vec<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of dimensions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<u64>, A::Error> {
        let mut shape = [0; MAX_DIMENSIONS];
        let mut dimensions = 0;
        while let Some(size) = sequence.next_element()? {
            let Some(slot) = shape.get_mut(dimensions) else {
                return Err(A::Error::custom(format_args!("more than {MAX_DIMENSIONS} dimensions")));
            };
            *slot = size;
            dimensions += 1;
        }
        Ok(shape[..dimensions].to_vec())
    }
}
