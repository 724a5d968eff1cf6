//! The chosen cells as rows and columns: a row for each line of a block, a column for each task.

use std::collections::HashMap;
use std::hash::Hash;

use super::{Cell, REFERENCE, best_of};

/// A block of rows that may be compared with each other: one model, one training size.
pub(super) type Block = (String, Option<u32>);

pub(super) struct Layout<'a> {
    /// What was chosen, in order of appearance.
    pub chosen: Vec<&'a Cell>,
    pub tasks: Vec<String>,
    pub blocks: Vec<Block>,
    /// Rows of one block stand together, blocks and lines in order of appearance.
    pub rows: Vec<Row<'a>>,
}

pub(super) struct Row<'a> {
    pub block: Block,
    /// The mode and what is compared beside it: [`Cell::line`].
    pub line: String,
    pub mode: String,
    /// By task: what was chosen for the line.
    pub cells: Vec<Option<&'a Cell>>,
    /// By task: the reference's counterpart; `None` for the reference itself.
    pub references: Vec<Option<&'a Cell>>,
}

impl<'a> Layout<'a> {
    pub fn of(cells: &'a [Cell]) -> Layout<'a> {
        let chosen = best_of(cells, entry);
        let tasks = distinct(chosen.iter().map(|c| c.task.clone()));
        let blocks = distinct(chosen.iter().map(|c| block(c)));
        let column: HashMap<&String, usize> = tasks.iter().enumerate().map(|(i, task)| (task, i)).collect();
        let mut rows: Vec<Row> = Vec::new();
        let mut known: HashMap<(Block, String), usize> = HashMap::new();
        for cell in &chosen {
            let (block, line) = (block(cell), cell.line());
            let at = *known.entry((block.clone(), line.clone())).or_insert_with(|| {
                let empty = vec![None; tasks.len()];
                let mode = cell.mode.clone();
                rows.push(Row { block, line, mode, cells: empty.clone(), references: empty });
                rows.len() - 1
            });
            rows[at].cells[column[&cell.task]] = Some(cell);
        }
        let place: HashMap<&Block, usize> = blocks.iter().enumerate().map(|(i, block)| (block, i)).collect();
        rows.sort_by_key(|row| place[&row.block]);
        let references: Vec<(Block, Vec<Option<&Cell>>)> =
            rows.iter().filter(|r| r.mode == REFERENCE).map(|r| (r.block.clone(), r.cells.clone())).collect();
        for row in rows.iter_mut().filter(|r| r.mode != REFERENCE) {
            for (task, cell) in row.cells.iter().enumerate() {
                let beside = references.iter().filter(|(block, _)| *block == row.block).filter_map(|(_, r)| r[task]);
                row.references[task] = cell.and_then(|cell| beside.into_iter().find(|r| cell.fits(r)));
            }
        }
        Layout { chosen, tasks, blocks, rows }
    }

    /// What of a block must be said: nothing where all have the same model and size; else `all-MiniLM-L6-v2` or
    /// `1000 examples`, or both.
    pub fn said(&self, (model, size): &Block) -> Vec<String> {
        let models = self.blocks.iter().any(|b| b.0 != self.blocks[0].0);
        let sizes = self.blocks.iter().any(|b| b.1 != self.blocks[0].1);
        let size = size.map_or("all examples".to_owned(), |n| format!("{n} examples"));
        [models.then(|| model.clone()), sizes.then_some(size)].into_iter().flatten().collect()
    }
}

pub(super) fn block(cell: &Cell) -> Block {
    (cell.model.clone(), cell.train_size)
}

/// What one entry of the table is chosen among.
pub(super) fn entry(cell: &Cell) -> (Block, String, String) {
    (block(cell), cell.line(), cell.task.clone())
}

/// Each item once, in order of appearance.
pub(super) fn distinct<T: Eq + Hash + Clone>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    items.filter(|item| seen.insert(item.clone())).collect()
}
