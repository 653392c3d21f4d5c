//! Reads a value from MessagePack.

use super::{DEPTH_MAX, Error};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};

/// A value, or the head of one that has values within.
#[derive(Clone, Copy, Debug)]
pub enum Head<'de> {
    Nil,
    Flag(bool),
    Unsigned(u64),
    Signed(i64),
    Single(f32),
    Double(f64),
    Text(&'de str),
    Bytes(&'de [u8]),
    /// So many values.
    List(usize),
    /// So many pairs.
    Map(usize),
}

/// Reads values one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'de> {
    pub bytes: &'de [u8],
    at: usize,
    /// Where the value begins that was looked at last: the one to blame.
    pub last: usize,
    depth: u32,
}

impl<'de> Reader<'de> {
    pub fn new(bytes: &'de [u8]) -> Self {
        Self { bytes, at: 0, last: 0, depth: 0 }
    }

    /// Where the next value begins.
    pub fn at(&self) -> usize {
        self.at
    }

    /// All has to be read.
    pub fn end(&mut self) -> Result<(), Error> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        self.last = 0;
        Err(Error::new(format_args!("{} bytes were left over after it", self.bytes.len() - self.at)))
    }

    #[inline(never)]
    fn take(&mut self, len: usize) -> Result<&'de [u8], Error> {
        let taken = self.at.checked_add(len).and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| Error::new(format_args!("what was saved is cut short")))?;
        self.at += len;
        Ok(taken)
    }

    /// A number of so many bytes.
    #[inline(never)]
    fn number(&mut self, len: usize) -> Result<u64, Error> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self, len: usize) -> Result<Head<'de>, Error> {
        match core::str::from_utf8(self.take(len)?) {
            Ok(text) => Ok(Head::Text(text)),
            Err(_) => Err(Error::new(format_args!("text that is not UTF-8"))),
        }
    }

    /// The next value.
    #[inline(never)]
    pub fn head(&mut self) -> Result<Head<'de>, Error> {
        self.last = self.at;
        let mark = self.number(1)?;
        let low = usize::from(mark as u8);
        Ok(match mark as u8 {
            0x00..=0x7f => Head::Unsigned(mark),
            0x80..=0x8f => Head::Map(low & 15),
            0x90..=0x9f => Head::List(low & 15),
            0xa0..=0xbf => self.text(low & 31)?,
            0xc0 => Head::Nil,
            0xc2 | 0xc3 => Head::Flag(mark & 1 == 1),
            0xc4..=0xc6 => {
                let len = self.number(1 << (low - 0xc4))? as usize;
                Head::Bytes(self.take(len)?)
            }
            0xca => Head::Single(f32::from_bits(self.number(4)? as u32)),
            0xcb => Head::Double(f64::from_bits(self.number(8)?)),
            0xcc..=0xcf => Head::Unsigned(self.number(1 << (low - 0xcc))?),
            0xd0..=0xd3 => {
                let len = 1 << (low - 0xd0);
                let unused = 64 - 8 * len as u32;
                Head::Signed((self.number(len)? << unused) as i64 >> unused)
            }
            0xd9..=0xdb => {
                let len = self.number(1 << (low - 0xd9))? as usize;
                self.text(len)?
            }
            0xdc | 0xdd => Head::List(self.number(2 << (low - 0xdc))? as usize),
            0xde | 0xdf => Head::Map(self.number(2 << (low - 0xde))? as usize),
            0xe0..=0xff => Head::Signed(i64::from(mark as i8)),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => {
                return Err(Error::new(format_args!("no rule saves what begins with byte {mark:#x}")));
            }
        })
    }

    /// Passes a value.
    #[inline(never)]
    pub fn skip(&mut self) -> Result<(), Error> {
        let mut left = 1usize;
        while left > 0 {
            left -= 1;
            left = match self.head()? {
                Head::List(count) => left.saturating_add(count),
                Head::Map(count) => left.saturating_add(count.saturating_mul(2)),
                _ => left,
            };
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn mismatch(&self, found: Head<'de>, expected: &dyn Expected) -> Error {
        Error::invalid_type(
            match found {
                Head::Nil => Unexpected::Unit,
                Head::Flag(flag) => Unexpected::Bool(flag),
                Head::Unsigned(number) => Unexpected::Unsigned(number),
                Head::Signed(number) => Unexpected::Signed(number),
                Head::Single(number) => Unexpected::Float(number.into()),
                Head::Double(number) => Unexpected::Float(number),
                Head::Text(text) => Unexpected::Str(text),
                Head::Bytes(bytes) => Unexpected::Bytes(bytes),
                Head::List(_) => Unexpected::Seq,
                Head::Map(_) => Unexpected::Map,
            },
            expected,
        )
    }

    #[inline(never)]
    fn enter(&mut self, left: usize) -> Result<Within<'_, 'de>, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Error::new(format_args!("it is nested more than {DEPTH_MAX} levels deep")));
        }
        Ok(Within { start: self.last, reader: self, left })
    }

    fn numeric<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Unsigned(number) => visitor.visit_u64(number),
            Head::Signed(number) => visitor.visit_i64(number),
            Head::Single(number) => visitor.visit_f32(number),
            Head::Double(number) => visitor.visit_f64(number),
            other => Err(self.mismatch(other, &visitor)),
        }
    }

    /// A whole number that is not negative. Its type is known, so that a field brings one call and one way to visit it,
    /// where asking the visitor about each way to save a number brings four.
    #[inline(never)]
    fn unsigned(&mut self, expected: &dyn Expected) -> Result<u64, Error> {
        match self.head()? {
            Head::Unsigned(number) => Ok(number),
            Head::Signed(number) => {
                u64::try_from(number).map_err(|_| Error::invalid_value(Unexpected::Signed(number), expected))
            }
            other => Err(self.mismatch(other, expected)),
        }
    }

    /// A whole number.
    #[inline(never)]
    fn signed(&mut self, expected: &dyn Expected) -> Result<i64, Error> {
        match self.head()? {
            Head::Signed(number) => Ok(number),
            Head::Unsigned(number) => i64::try_from(number)
                .map_err(|_| Error::invalid_value(Unexpected::Unsigned(number), expected)),
            other => Err(self.mismatch(other, expected)),
        }
    }

    /// A number; a whole one, which an older version may have saved, becomes the nearest float.
    #[inline(never)]
    fn float(&mut self, expected: &dyn Expected) -> Result<f64, Error> {
        match self.head()? {
            Head::Unsigned(number) => Ok(number as f64),
            Head::Signed(number) => Ok(number as f64),
            Head::Single(number) => Ok(number.into()),
            Head::Double(number) => Ok(number),
            other => Err(self.mismatch(other, expected)),
        }
    }

    /// A number of 128 bits, as the sixteen bytes that it is saved as.
    #[inline(never)]
    fn wide(&mut self, expected: &dyn Expected) -> Result<[u8; 16], Error> {
        match self.head()? {
            Head::Bytes(bytes) if bytes.len() == 16 => {
                let mut wide = [0; 16];
                wide.copy_from_slice(bytes);
                Ok(wide)
            }
            Head::Unsigned(number) => Ok(u128::from(number).to_be_bytes()),
            Head::Signed(number) => Ok(i128::from(number).to_be_bytes()),
            other => Err(self.mismatch(other, expected)),
        }
    }
}

/// Within a list or a map.
pub struct Within<'r, 'de> {
    reader: &'r mut Reader<'de>,
    /// Where it begins.
    start: usize,
    left: usize,
}

impl Within<'_, '_> {
    /// Whether there is one more; at the end the whole is to blame for what is missing.
    #[inline(never)]
    fn more(&mut self) -> bool {
        if self.left == 0 {
            self.reader.last = self.start;
            return false;
        }
        self.left -= 1;
        true
    }

    /// All values have to be read.
    #[inline(never)]
    fn leave(self) -> Result<(), Error> {
        self.reader.depth -= 1;
        self.reader.last = self.start;
        if self.left == 0 {
            return Ok(());
        }
        Err(Error::new(format_args!("{} values more than expected", self.left)))
    }
}

impl<'de> SeqAccess<'de> for &mut Within<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.more() { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for &mut Within<'_, 'de> {
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.more() { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// A variant: its name alone, or a map of its name and its value.
pub struct Variant<'r, 'de> {
    reader: &'r mut Reader<'de>,
    alone: bool,
}

impl<'r, 'de> EnumAccess<'de> for Variant<'r, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        Ok((seed.deserialize(&mut *self.reader)?, self))
    }
}

impl<'de> Variant<'_, 'de> {
    #[inline(never)]
    fn has_value(&self, expected: &dyn Expected) -> Result<(), Error> {
        if self.alone { Err(Error::invalid_type(Unexpected::UnitVariant, expected)) } else { Ok(()) }
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.alone { Ok(()) } else { self.reader.skip() }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        self.has_value(&"a variant with a value")?;
        seed.deserialize(self.reader)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.has_value(&visitor)?;
        self.reader.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.has_value(&visitor)?;
        self.reader.deserialize_map(visitor)
    }
}

macro_rules! all_as {
    ($way:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$way(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    all_as!(numeric: deserialize_f32);
    all_as!(deserialize_u64: deserialize_u8 deserialize_u16 deserialize_u32);
    all_as!(deserialize_i64: deserialize_i8 deserialize_i16 deserialize_i32);
    all_as!(deserialize_str: deserialize_char deserialize_string deserialize_identifier);
    all_as!(deserialize_bytes: deserialize_byte_buf);

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let again = self.at;
        match self.head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Flag(flag) => visitor.visit_bool(flag),
            Head::Text(text) => visitor.visit_borrowed_str(text),
            Head::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            found => {
                self.at = again;
                match found {
                    Head::List(_) => self.deserialize_seq(visitor),
                    Head::Map(_) => self.deserialize_map(visitor),
                    _ => self.numeric(visitor),
                }
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Flag(flag) => visitor.visit_bool(flag),
            other => Err(self.mismatch(other, &visitor)),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number = self.unsigned(&visitor)?;
        visitor.visit_u64(number)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number = self.signed(&visitor)?;
        visitor.visit_i64(number)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number = self.float(&visitor)?;
        visitor.visit_f64(number)
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let wide = self.wide(&visitor)?;
        visitor.visit_i128(i128::from_be_bytes(wide))
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let wide = self.wide(&visitor)?;
        visitor.visit_u128(u128::from_be_bytes(wide))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Text(text) => visitor.visit_borrowed_str(text),
            other => Err(self.mismatch(other, &visitor)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            other => Err(self.mismatch(other, &visitor)),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.bytes.get(self.at) == Some(&0xc0) {
            self.at += 1;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Nil | Head::List(0) => visitor.visit_unit(),
            other => Err(self.mismatch(other, &visitor)),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::List(count) => {
                let mut within = self.enter(count)?;
                let value = visitor.visit_seq(&mut within)?;
                within.leave().map(|()| value)
            }
            other => Err(self.mismatch(other, &visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.head()? {
            Head::Map(count) => {
                let mut within = self.enter(count)?;
                let value = visitor.visit_map(&mut within)?;
                within.leave().map(|()| value)
            }
            other => Err(self.mismatch(other, &visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let again = self.at;
        match self.head()? {
            Head::Text(_) => {
                self.at = again;
                visitor.visit_enum(Variant { reader: self, alone: true })
            }
            Head::Map(1) => visitor.visit_enum(Variant { reader: self, alone: false }),
            other => Err(self.mismatch(other, &visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.skip()?;
        visitor.visit_unit()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
