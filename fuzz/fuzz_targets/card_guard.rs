#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hostile::card_guard(data));
