//! The one place for fonts, sizes, colours, marks and number formats.

use std::sync::Once;

use plotters::prelude::*;
use plotters::style::{FontStyle, RGBColor, TextStyle, register_font};

/// The shipped font by name, and what a browser takes where it is not installed.
const FONT: &str = "DejaVu Sans, Verdana, sans-serif";

/// Plotters' sizes are line heights; the letters are a quarter smaller, so the least of them is 11.3 px.
const SMALL: f64 = 14.0;
const TITLE: f64 = 17.0;

pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub const FAINT: RGBColor = RGBColor(0xE6, 0xE6, 0xE6);
pub const AXIS: RGBColor = RGBColor(0x66, 0x66, 0x66);

/// Okabe and Ito's palette, fit for every kind of colour vision, without its yellow, too pale on white.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xCC, 0x79, 0xA7),
    RGBColor(0xE6, 0x9F, 0x00),
    RGBColor(0x56, 0xB4, 0xE9),
    RGBColor(0x00, 0x00, 0x00),
];

/// The reference's own, taken by no other line.
const REFERENCE: RGBColor = RGBColor(0x55, 0x55, 0x55);

/// Readies the shipped fonts, so that no font of the system is looked for.
pub fn register_fonts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let regular = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
        let bold = register_font(FONT, FontStyle::Bold, dejavu::sans::bold());
        assert!(regular.is_ok() && bold.is_ok(), "the shipped fonts are whole");
    });
}

/// The colour of a line by its number: 0 is the reference, the others count from 1.
pub fn colour(line: usize) -> RGBColor {
    match line {
        0 => REFERENCE,
        n => COLOURS[(n - 1) % COLOURS.len()],
    }
}

/// Sizes in pixels of the backend; `scale` is 2 for a bitmap drawn at double size.
#[derive(Debug, Clone, Copy)]
pub struct Pen {
    pub scale: u32,
}

impl Pen {
    pub fn px(self, pixels: i32) -> i32 {
        pixels * self.scale as i32
    }

    pub fn small(self) -> TextStyle<'static> {
        (FONT, SMALL * f64::from(self.scale)).into_font().color(&INK)
    }

    pub fn title(self) -> TextStyle<'static> {
        (FONT, TITLE * f64::from(self.scale), FontStyle::Bold).into_font().color(&INK)
    }

    pub fn bold(self) -> TextStyle<'static> {
        (FONT, SMALL * f64::from(self.scale), FontStyle::Bold).into_font().color(&INK)
    }

    pub fn line(self, colour: RGBColor) -> ShapeStyle {
        colour.stroke_width(2 * self.scale)
    }

    pub fn hair(self, colour: RGBColor) -> ShapeStyle {
        colour.stroke_width(self.scale)
    }
}

/// Width of the small text in pixels at scale 1.
pub fn width(text: &str) -> i32 {
    register_fonts();
    let pen = Pen { scale: 1 };
    pen.small().font.box_size(text).map_or(8 * text.chars().count() as i32, |(w, _)| w as i32)
}

/// The text, cut with an ellipsis where it is wider than this at scale 1, in the bold title face or the small one.
pub fn fitted(text: &str, pixels: i32, title: bool) -> String {
    let ratio = if title { TITLE / SMALL * 1.15 } else { 1.0 };
    let fits = |t: &str| f64::from(width(t)) * ratio <= f64::from(pixels);
    if fits(text) {
        return text.to_owned();
    }
    let mut letters: Vec<char> = text.chars().collect();
    while letters.len() > 1 {
        letters.pop();
        let cut = format!("{}…", letters.iter().collect::<String>().trim_end());
        if fits(&cut) {
            return cut;
        }
    }
    "…".to_owned()
}

/// A dark blue for 1 and white for 0: one hue, so that only lightness carries the number.
pub fn shade(share: f64) -> RGBColor {
    let share = share.clamp(0.0, 1.0);
    let mix = |from: u8, to: u8| (f64::from(from) + (f64::from(to) - f64::from(from)) * share) as u8;
    RGBColor(mix(0xF7, 0x08), mix(0xFB, 0x30), mix(0xFF, 0x6B))
}

/// Ink that can be read on a shade.
pub fn ink_on(share: f64) -> RGBColor {
    if share > 0.64 { WHITE } else { BLACK }
}

/// The axis of a metric, with its unit: `dev Pearson × 100`.
pub fn metric(name: &str) -> String {
    let mut letters = name.chars();
    let shown = match name {
        "f1" => "F1".to_owned(),
        _ => letters.next().map_or(String::new(), |c| c.to_uppercase().chain(letters).collect()),
    };
    format!("dev {} × 100", shown.replace('_', " "))
}

/// `12,345`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `3.2 M`, `870 k`, `950`.
pub fn short_count(n: u64) -> String {
    match n {
        0..10_000 => thousands(n),
        10_000..1_000_000 => format!("{:.0} k", n as f64 / 1e3),
        _ => format!("{:.1} M", n as f64 / 1e6),
    }
}

/// Tick positions at round numbers that cover [low, high], and the digits behind the point that they need.
pub fn ticks(low: f64, high: f64, most: usize) -> (Vec<f64>, usize) {
    let span = (high - low).max(1e-9);
    let rough = span / most as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| span / s <= most as f64);
    let step = step.unwrap_or(10.0 * power);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    let digits = (0..6).find(|d| (step * 10f64.powi(*d) - (step * 10f64.powi(*d)).round()).abs() < 1e-6).unwrap_or(6);
    ((first..=last).map(|i| i as f64 * step).collect(), digits as usize)
}

/// A tick's number with so many digits behind the point; very small and very large ones with a power of ten.
pub fn tick(value: f64, digits: usize) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if digits > 4 || size >= 1e5 => {
            let short = format!("{value:.1e}");
            let is_exact = short.parse().is_ok_and(|told: f64| (told - value).abs() < 1e-6 * size);
            if is_exact { short } else { format!("{value:.2e}") }
        }
        _ => format!("{value:.digits$}"),
    }
}

/// Ticks of a logarithmic axis between two decimal logarithms: where, as a logarithm, and its number.
pub fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let powers = || low.floor() as i32..=high.ceil() as i32;
    let of = |steps: &[f64]| -> Vec<(f64, String)> {
        let all = powers().flat_map(|power| steps.iter().map(move |step| (step * 10f64.powi(power), power)));
        let inside =
            all.map(|(value, power)| (value.log10(), value, power)).filter(|(at, ..)| (low..=high).contains(at));
        let named = |value: f64, power: i32| {
            // Without what multiplying by a power of ten leaves behind.
            let value = (value / 10f64.powi(power) * 10.0).round() / 10.0;
            let digits = usize::from(value.fract() > 0.0);
            match power {
                -3..5 => format!("{:.*}", (digits as i32 - power).max(0) as usize, value * 10f64.powi(power)),
                _ => format!("{value}e{power}"),
            }
        };
        inside.map(|(at, value, power)| (at, named(value, power))).collect()
    };
    let whole = of(&[1.0]);
    // Over many decades only some of them are named.
    let every = whole.len().div_ceil(7).max(1);
    match whole.len() {
        3.. => whole.into_iter().step_by(every).collect(),
        _ if of(&[1.0, 2.0, 5.0]).len() > 2 => of(&[1.0, 2.0, 5.0]),
        _ => of(&[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(61.2, 67.9, 5), (vec![62.0, 64.0, 66.0], 0));
        assert_eq!(ticks(0.0, 1.0, 5).0.len(), 6);
        let (places, digits) = ticks(80.01, 80.09, 5);
        assert!(places.len() >= 2 && digits == 2, "{places:?} {digits}");
        assert_eq!(ticks(0.0, 10.0, 4), (vec![0.0, 2.5, 5.0, 7.5, 10.0], 1));
    }

    #[test]
    fn logarithmic_ticks_are_powers_or_steps_between_them() {
        let names = |low: f64, high: f64| -> Vec<String> {
            log_ticks(low.log10(), high.log10()).into_iter().map(|(_, name)| name).collect()
        };
        assert_eq!(names(0.005, 20.0), ["0.01", "0.1", "1", "10"]);
        assert_eq!(names(1.5, 25.0), ["2", "5", "10", "20"]);
        assert_eq!(names(2e-6, 3e-5), ["2e-6", "5e-6", "1e-5", "2e-5"]);
        assert!(names(1e-9, 1e9).len() <= 7);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!((tick(0.25, 2), tick(0.0, 3), tick(2e-5, 5)), ("0.25".into(), "0".into(), "2.0e-5".into()));
        assert_eq!((tick(4.75e-5, 6), tick(250_000.0, 0)), ("4.75e-5".into(), "2.5e5".into()));
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!((short_count(950), short_count(6_400_000)), ("950".to_owned(), "6.4 M".to_owned()));
        assert_eq!(metric("pearson"), "dev Pearson × 100");
        assert_eq!(metric("f1"), "dev F1 × 100");
    }

    #[test]
    fn long_names_are_cut_to_fit() {
        let cut = fitted("a-very-long-name-of-a-mode-indeed", 80, false);
        assert!(cut.ends_with('…') && width(&cut) <= 80, "{cut}");
        assert_eq!(fitted("rte", 80, false), "rte");
    }

    #[test]
    fn ink_stands_out_on_every_shade() {
        // Relative luminance and contrast as the WCAG define them; 4.5 is the bar for text.
        let light = |c: RGBColor| {
            let part = |v: u8| {
                let v = f64::from(v) / 255.0;
                if v <= 0.03928 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(c.0) + 0.7152 * part(c.1) + 0.0722 * part(c.2)
        };
        for i in 0..=100 {
            let share = f64::from(i) / 100.0;
            let (a, b) = (light(shade(share)), light(ink_on(share)));
            let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
            assert!(contrast >= 4.0, "contrast {contrast:.1} at {share}");
        }
    }
}
