//! The SVG of a figure as PDF for LaTeX: vectors stay vectors, and text stays text in the shipped font.

use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result, anyhow};
use krilla::Document;
use krilla::geom::Size;
use krilla::page::PageSettings;
use krilla_svg::{SurfaceExt, SvgSettings};
use usvg::fontdb::Database;
use usvg::{Options, Tree};

/// The shipped fonts alone, so that a figure is the same on every machine.
static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.load_font_data(dejavu::sans::bold().to_vec());
    Arc::new(fonts)
});

/// A page of the picture's size, at 72 of its pixels an inch; the same bytes every time.
///
/// # Errors
/// An SVG that cannot be read.
pub fn from_svg(svg: &str) -> Result<Vec<u8>> {
    let options = Options { fontdb: FONTS.clone(), ..Options::default() };
    let tree = Tree::from_str(svg, &options).context("cannot make a PDF of the figure")?;
    let failed = || anyhow!("cannot make a PDF of the figure: it has no size");
    let (width, height) = (tree.size().width(), tree.size().height());
    let size = Size::from_wh(width, height).with_context(failed)?;
    let mut document = Document::new();
    let mut page = document.start_page_with(PageSettings::from_wh(width, height).with_context(failed)?);
    let mut surface = page.surface();
    surface.draw_svg(&tree, size, SvgSettings::default()).with_context(failed)?;
    surface.finish();
    page.finish();
    document.finish().map_err(|error| anyhow!("cannot make a PDF of the figure: {error:?}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEXT: &str = r##"<svg width="200" height="50" xmlns="http://www.w3.org/2000/svg">
<text x="5" y="30" font-family="DejaVu Sans, Verdana, sans-serif" font-size="14" fill="#222222">score ± 1</text></svg>"##;

    #[test]
    fn text_is_set_in_the_shipped_font_and_the_bytes_are_the_same_every_time() {
        let pdf = from_svg(TEXT).unwrap();
        let holds = |word: &str| pdf.windows(word.len()).any(|w| w == word.as_bytes());
        assert!(pdf.starts_with(b"%PDF-") && holds("DejaVuSans"));
        assert!(pdf == from_svg(TEXT).unwrap());
    }

    #[test]
    fn what_is_no_svg_is_an_error() {
        assert!(from_svg("<svg").is_err());
    }
}
