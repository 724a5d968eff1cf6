//! An event file of TensorBoard: records of a length, an event and their checksums.
//! Source: tensorboard/compat/proto/event.proto and summary.proto; tensorflow/core/lib/io/record_writer.h.

use super::wire::Message;

/// Events one behind the other, as they lie in a file. Times are seconds since 1970.
#[derive(Debug)]
pub struct Events(Vec<u8>);

const DT_FLOAT: u64 = 1;
const DT_STRING: u64 = 7;
const DATA_CLASS_TENSOR: u64 = 2;

impl Events {
    /// The beginning of a file.
    pub fn begin(time: f64) -> Events {
        let mut events = Events(Vec::new());
        events.put(Message::default().double(1, time).text(3, "brain.Event:2"));
        events
    }

    /// What was added since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }

    /// Training begins, or begins again, at a step: what an earlier file says of this step and of later ones is void.
    pub fn session(&mut self, time: f64, step: u32) {
        let start = Message::default().int(1, 1);
        self.put(Message::default().double(1, time).int(2, u64::from(step)).message(7, start));
    }

    pub fn scalar(&mut self, time: f64, step: u32, tag: &str, value: f64) {
        self.summary(time, step, Message::default().text(1, tag).float(2, value as f32));
    }

    /// Markdown for the TEXT tab.
    pub fn text(&mut self, time: f64, tag: &str, text: &str) {
        let tensor = Message::default().int(1, DT_STRING).message(2, Message::default()).text(8, text);
        self.plugin(time, tag, "text", &[], tensor);
    }

    /// What a plugin keeps as metadata of a tensor that holds nothing.
    pub fn metadata(&mut self, time: f64, tag: &str, plugin: &str, content: &[u8]) {
        let none = Message::default().int(1, DT_FLOAT).message(2, Message::default()).float(5, 0.0);
        self.plugin(time, tag, plugin, content, none);
    }

    fn plugin(&mut self, time: f64, tag: &str, plugin: &str, content: &[u8], tensor: Message) {
        let data = Message::default().text(1, plugin).bytes(2, content);
        let metadata = Message::default().message(1, data).int(4, DATA_CLASS_TENSOR);
        self.summary(time, 0, Message::default().text(1, tag).message(8, tensor).message(9, metadata));
    }

    fn summary(&mut self, time: f64, step: u32, value: Message) {
        let event = Message::default().double(1, time).int(2, u64::from(step));
        self.put(event.message(5, Message::default().message(1, value)));
    }

    fn put(&mut self, event: Message) {
        let event = event.into_bytes();
        let length = (event.len() as u64).to_le_bytes();
        self.0.extend(length);
        self.0.extend(checksum(&length).to_le_bytes());
        self.0.extend(&event);
        self.0.extend(checksum(&event).to_le_bytes());
    }
}

/// CRC-32C, turned and shifted, so that a checksum over bytes that hold checksums is still worth something.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_length_event_and_two_checksums() {
        // As TensorFlow 2.15 begins a file at time 0: its own bytes.
        let mut events = Events::begin(0.0);
        let bytes = events.take();
        assert_eq!(bytes[..8], [24, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[8..12], [0xa3, 0x7f, 0x4b, 0x22]);
        assert_eq!(&bytes[23..36], b"brain.Event:2");
        assert_eq!(bytes.len(), 8 + 4 + 24 + 4);
        assert_eq!(events.take(), [0u8; 0]);
        // RFC 3720, B.4: 32 bytes of zeros have the CRC-32C 0x8a9136aa.
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }
}
