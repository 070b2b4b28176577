//! The findings of a verification, in words.

use std::fmt;

use serde::Serialize;

/// So many differences of a collection are told in words; the rest is counted.
const TOLD: usize = 5;

/// The findings in one collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The collection.
    pub collection: &'static str,
    /// Records compared.
    pub checked: usize,
    /// Records that are not what they should be.
    pub differences: usize,
    /// The first few differences.
    pub first: Vec<String>,
}

impl Check {
    pub(crate) fn new(collection: &'static str) -> Self {
        Check { collection, checked: 0, differences: 0, first: Vec::new() }
    }

    /// Counts a difference, and keeps its words when it is among the first.
    pub(crate) fn differs(&mut self, words: impl FnOnce() -> String) {
        self.differences += 1;
        if self.first.len() < TOLD {
            self.first.push(words());
        }
    }

    /// Counts a record, and a difference unless `right`.
    pub(crate) fn expect(&mut self, right: bool, words: impl FnOnce() -> String) {
        self.checked += 1;
        if !right {
            self.differs(words);
        }
    }
}

/// The findings in a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The epoch that was looked at.
    pub epoch: u64,
    /// Collection by collection, each after those it is derived from.
    pub checks: Vec<Check>,
    /// Collections that the state does not keep yet: it was made by an earlier version, and the next run fills them.
    pub not_kept: Vec<&'static str>,
    /// Differences in all of them.
    pub differences: usize,
}

impl Report {
    pub(crate) fn push(&mut self, check: Check) {
        self.differences += check.differences;
        self.checks.push(check);
    }

    /// Returns what was found in `collection`; `None` when it was not looked at.
    pub fn check(&self, collection: &str) -> Option<&Check> {
        self.checks.iter().find(|c| c.collection == collection)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "epoch {}", self.epoch)?;
        for check in &self.checks {
            let verdict = match check.differences {
                0 => "as they should be".to_string(),
                1 => "1 difference".to_string(),
                n => format!("{n} differences"),
            };
            writeln!(f, "{:<9} {:>10} checked, {verdict}", check.collection, check.checked)?;
            for words in &check.first {
                writeln!(f, "    {words}")?;
            }
            if check.differences > check.first.len() {
                writeln!(f, "    and {} more", check.differences - check.first.len())?;
            }
        }
        for collection in &self.not_kept {
            writeln!(f, "{collection:<9} not kept yet; the next `kinetograph run` fills them")?;
        }
        if self.checks.iter().all(|c| c.checked == 0) && self.differences == 0 {
            return writeln!(f, "nothing in this state yet");
        }
        match self.differences {
            0 => writeln!(f, "no differences"),
            n => writeln!(f, "{n} differences in all"),
        }
    }
}
