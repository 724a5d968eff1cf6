//! Where records lie, and how they get there without ever being half there.
