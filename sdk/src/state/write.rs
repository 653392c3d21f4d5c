//! Writes a value as MessagePack.

use super::{DEPTH_MAX, Error};
use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// Appends values.
pub struct Writer<'a> {
    to: &'a mut Vec<u8>,
    depth: u32,
}

impl<'a> Writer<'a> {
    pub fn new(to: &'a mut Vec<u8>) -> Self {
        Self { to, depth: 0 }
    }

    #[inline(never)]
    fn unsigned(&mut self, value: u64) {
        match value {
            0..=0x7f => self.to.push(value as u8),
            0x80..=0xff => self.to.extend_from_slice(&[0xcc, value as u8]),
            0x100..=0xffff => self.sized(0xcd, &(value as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.sized(0xce, &(value as u32).to_be_bytes()),
            _ => self.sized(0xcf, &value.to_be_bytes()),
        }
    }

    #[inline(never)]
    fn signed(&mut self, value: i64) {
        match value {
            0.. => self.unsigned(value as u64),
            -0x20.. => self.to.push(value as u8),
            -0x80.. => self.to.extend_from_slice(&[0xd0, value as u8]),
            -0x8000.. => self.sized(0xd1, &(value as i16).to_be_bytes()),
            -0x8000_0000.. => self.sized(0xd2, &(value as i32).to_be_bytes()),
            _ => self.sized(0xd3, &value.to_be_bytes()),
        }
    }

    #[inline(never)]
    fn sized(&mut self, mark: u8, value: &[u8]) {
        self.to.push(mark);
        self.to.extend_from_slice(value);
    }

    #[inline(never)]
    fn text(&mut self, text: &str) {
        match text.len() {
            len @ 0..=31 => self.to.push(0xa0 | len as u8),
            len @ 32..=0xff => self.to.extend_from_slice(&[0xd9, len as u8]),
            len @ 0x100..=0xffff => self.sized(0xda, &(len as u16).to_be_bytes()),
            len => self.sized(0xdb, &(len as u32).to_be_bytes()),
        }
        self.to.extend_from_slice(text.as_bytes());
    }

    #[inline(never)]
    fn bytes(&mut self, bytes: &[u8]) {
        match bytes.len() {
            len @ 0..=0xff => self.to.extend_from_slice(&[0xc4, len as u8]),
            len @ 0x100..=0xffff => self.sized(0xc5, &(len as u16).to_be_bytes()),
            len => self.sized(0xc6, &(len as u32).to_be_bytes()),
        }
        self.to.extend_from_slice(bytes);
    }

    /// The head of a list (`short` 0x90, `long` 0xdc) or a map (0x80, 0xde) whose length may be known only at its end.
    #[inline(never)]
    fn open(&mut self, short: u8, long: u8, len: Option<usize>) -> Result<Within<'_, 'a>, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::new(format_args!("it is nested more than {DEPTH_MAX} levels deep")));
        }
        let later = len.is_none().then_some(self.to.len() + 1);
        match len {
            Some(len @ 0..=15) => self.to.push(short | len as u8),
            Some(len @ 16..=0xffff) => self.sized(long, &(len as u16).to_be_bytes()),
            len => self.sized(long + 1, &(len.unwrap_or_default() as u32).to_be_bytes()),
        }
        Ok(Within { writer: self, later, count: 0 })
    }

    /// A variant with a value is a map of one.
    #[inline(never)]
    fn variant(&mut self, name: &str) {
        self.to.push(0x81);
        self.text(name);
    }
}

/// Within a list or a map.
pub struct Within<'w, 'a> {
    writer: &'w mut Writer<'a>,
    /// Where its length goes, when it was not known at first.
    later: Option<usize>,
    count: u32,
}

impl Within<'_, '_> {
    #[inline]
    fn add<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.count += 1;
        value.serialize(&mut *self.writer)
    }

    #[inline]
    fn add_named<T: ?Sized + Serialize>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        self.writer.text(name);
        value.serialize(&mut *self.writer)
    }

    #[inline(never)]
    fn close(self) -> Result<(), Error> {
        self.writer.depth -= 1;
        if let Some(place) = self.later.and_then(|at| self.writer.to.get_mut(at..at + 4)) {
            place.copy_from_slice(&self.count.to_be_bytes());
        }
        Ok(())
    }
}

impl<'w, 'a> Serializer for &'w mut Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Within<'w, 'a>;
    type SerializeTuple = Within<'w, 'a>;
    type SerializeTupleStruct = Within<'w, 'a>;
    type SerializeTupleVariant = Within<'w, 'a>;
    type SerializeMap = Within<'w, 'a>;
    type SerializeStruct = Within<'w, 'a>;
    type SerializeStructVariant = Within<'w, 'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.to.push(0xc2 | u8::from(value));
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.signed(value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Error> {
        self.bytes(&value.to_be_bytes());
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.unsigned(value);
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Error> {
        self.bytes(&value.to_be_bytes());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.sized(0xca, &value.to_bits().to_be_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.sized(0xcb, &value.to_bits().to_be_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.text(value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.text(value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.bytes(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.to.push(0xc0);
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.to.push(0x90);
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<(), Error> {
        self.serialize_str(name)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(name);
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Within<'w, 'a>, Error> {
        self.open(0x90, 0xdc, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Within<'w, 'a>, Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Within<'w, 'a>, Error> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Within<'w, 'a>, Error> {
        self.variant(name);
        self.serialize_seq(Some(len))
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Within<'w, 'a>, Error> {
        self.open(0x80, 0xde, len)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Within<'w, 'a>, Error> {
        self.serialize_map(Some(len))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Within<'w, 'a>, Error> {
        self.variant(name);
        self.serialize_map(Some(len))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl SerializeSeq for Within<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.add(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeTuple for Within<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.add(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeTupleStruct for Within<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.add(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeTupleVariant for Within<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.add(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeMap for Within<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Error> {
        self.add(key)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeStruct for Within<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.add_named(name, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl SerializeStructVariant for Within<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.add_named(name, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}
