//! The base64 forms of secrets, wherever they begin and break.

use std::collections::HashSet;

/// Any so long piece of a secret's base64 form is found, so that line breaks in it don't hide the rest.
pub const GRAM: usize = 16;

/// Pieces of base64 that belong to secrets.
#[derive(Clone, Default)]
pub struct Grams {
    known: HashSet<[u8; GRAM]>,
    /// One bit for each of the hashes that known pieces have: says at once that most others are none.
    filter: Vec<u64>,
}

impl Grams {
    /// Bits of a filter's hash.
    const BITS: u32 = 16;

    /// Knows every piece of this form from now on.
    pub fn add(&mut self, form: &[u8]) {
        self.filter.resize((1 << Self::BITS) / 64, 0);
        for gram in form.windows(GRAM).filter_map(|gram| <&[u8; GRAM]>::try_from(gram).ok()) {
            let hash = Self::hash(gram);
            self.filter[hash / 64] |= 1 << (hash % 64);
            self.known.insert(*gram);
        }
    }

    /// Where pieces stand.
    pub fn spans(&self, text: &[u8]) -> Vec<(usize, usize)> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let mut spans = Vec::new();
        for (start, end) in base64_runs(text) {
            for (at, gram) in (start..).zip(text[start..end].windows(GRAM)) {
                if <&[u8; GRAM]>::try_from(gram).is_ok_and(|gram| self.knows(gram)) {
                    extend(&mut spans, (at, at + GRAM));
                }
            }
        }
        spans
    }

    fn knows(&self, gram: &[u8; GRAM]) -> bool {
        let hash = Self::hash(gram);
        self.filter[hash / 64] >> (hash % 64) & 1 == 1 && self.known.contains(gram)
    }

    /// Multiplication by the golden ratio spreads the bits to the top.
    fn hash(gram: &[u8; GRAM]) -> usize {
        let [low, high] = [0, 8].map(|at| {
            let half: [u8; 8] = std::array::from_fn(|byte| gram[at + byte]);
            u64::from_le_bytes(half)
        });
        let mixed = (low ^ high.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        usize::try_from(mixed >> (64 - Self::BITS)).unwrap_or_default()
    }
}

/// Adds a piece. One that touches the last one is more of it: a long secret is one span, and not one for each character.
fn extend(spans: &mut Vec<(usize, usize)>, (start, end): (usize, usize)) {
    match spans.last_mut().filter(|last| start <= last.1) {
        Some(last) => last.1 = end,
        None => spans.push((start, end)),
    }
}

/// Where so many characters of base64 follow each other that a piece can stand there: ordinary text has few such places.
pub fn base64_runs(text: &[u8]) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at + GRAM <= text.len() {
        // From the end: the last character that is none says how far the next place is.
        if let Some(foreign) = text[at..at + GRAM].iter().rposition(|byte| !is_base64(*byte)) {
            at += foreign + 1;
            continue;
        }
        let rest = text[at + GRAM..].iter().position(|byte| !is_base64(*byte));
        let end = rest.map_or(text.len(), |rest| at + GRAM + rest);
        runs.push((at, end));
        at = end + 1;
    }
    runs
}

/// What no letter of base64 stands for.
const NONE: u8 = 64;

/// What each letter stands for, in both alphabets.
const VALUES: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => NONE,
        };
        byte += 1;
    }
    table
};

/// Whether that is a letter of base64, in one of the alphabets.
pub fn is_base64(byte: u8) -> bool {
    VALUES[usize::from(byte)] != NONE
}

/// The bytes that base64 stands for, up to the first character that is no letter of it.
pub fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for value in text.iter().map(|byte| VALUES[usize::from(*byte)]).take_while(|value| *value != NONE) {
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count & 0xff) as u8);
        }
    }
    decoded
}

/// What base64 makes of the secret wherever it begins in the encoded text, in both alphabets: the characters at both
/// ends that depend on its neighbours are left out.
pub fn base64_forms(secret: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for shift in 0..3 {
        let shifted = [vec![0; shift], secret.to_vec()].concat();
        // Six bits a character: how many of them belong to the bytes before, and how many are complete.
        let (first, last) = ((shift * 8).div_ceil(6), shifted.len() * 8 / 6);
        for alphabet in [b"+/", b"-_"] {
            forms.push(base64(&shifted, *alphabet)[first..last].to_owned());
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

/// Bytes in base64, without padding.
pub fn base64(bytes: &[u8], last_two: [u8; 2]) -> String {
    let letter = |index: u8| match index {
        0..26 => b'A' + index,
        26..52 => b'a' + index - 26,
        52..62 => b'0' + index - 52,
        _ => last_two[usize::from(index) - 62],
    };
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| group.get(at).copied().unwrap_or_default());
        for index in [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63] {
            out.push(char::from(letter(index)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_form_is_one_span() {
        let mut grams = Grams::default();
        let form = base64(&[7; 300], *b"+/");
        grams.add(form.as_bytes());
        let text = format!("{form} and {form}");
        let second = form.len() + 5;
        assert_eq!(grams.spans(text.as_bytes()), [(0, form.len()), (second, second + form.len())]);
    }
}
