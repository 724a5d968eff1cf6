//! As much of the protobuf encoding as event files need.
//! Source: protobuf.dev/programming-guides/encoding.

/// A message under construction. Fields have their numbers; what is zero or empty may be left out, as in proto3.
#[derive(Debug, Default)]
pub struct Message(Vec<u8>);

const VARINT: u32 = 0;
const EIGHT_BYTES: u32 = 1;
const LENGTH: u32 = 2;
const FOUR_BYTES: u32 = 5;

impl Message {
    pub fn int(mut self, field: u32, value: u64) -> Message {
        self.head(field, VARINT);
        self.varint(value);
        self
    }

    pub fn double(mut self, field: u32, value: f64) -> Message {
        self.head(field, EIGHT_BYTES);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn float(mut self, field: u32, value: f32) -> Message {
        self.head(field, FOUR_BYTES);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn text(self, field: u32, value: &str) -> Message {
        self.bytes(field, value.as_bytes())
    }

    pub fn message(self, field: u32, value: Message) -> Message {
        self.bytes(field, &value.0)
    }

    pub fn bytes(mut self, field: u32, value: &[u8]) -> Message {
        self.head(field, LENGTH);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn head(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_encoded_as_in_the_documentation() {
        assert_eq!(Message::default().int(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        let testing = [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67];
        assert_eq!(Message::default().text(2, "testing").into_bytes(), testing);
        let inner = Message::default().int(1, 150);
        assert_eq!(Message::default().message(3, inner).into_bytes(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(Message::default().float(2, 1.0).into_bytes(), [0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(Message::default().double(20, 1.0).into_bytes(), [0xa1, 0x01, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    }
}
