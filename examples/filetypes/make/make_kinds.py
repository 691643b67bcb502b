"""Writes agents/src/kinds.rs: what the agents know of the model's 214 labels.

    pip install magika==1.0.3
    python3 make_kinds.py

From the package's `config.min.json` (the order of labels, thresholds, labels that are replaced) and
`content_types_kb.min.json` (group of a label, whether it is text).
"""

import json
import subprocess
from pathlib import Path

import magika

HERE = Path(__file__).resolve().parent
FOLDER = Path(magika.__file__).parent
# What a file is called for which no model is asked, or none is believed.
OWN = ["txt", "unknown", "empty"]

HEAD = '''//! What is known of each label: its group, whether such files are text, how sure the model must be.
//!
//! Written by `make/make_kinds.py` from the configuration and the table of content types of magika
//! 1.0.3 (Apache-2.0), in the order of the model's output; what follows behind the model's 214
//! labels are those that are given without it.

use crate::groups::Group::{self, *};

/// A label and what is known of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Kind {
    /// The label.
    pub label: &'static str,
    /// Files of a kind.
    pub group: Group,
    /// Whether such files are text.
    pub is_text: bool,
    /// Least score with which the model is believed.
    pub threshold: f64,
}

const fn kind(label: &'static str, group: Group, is_text: bool, threshold: f64) -> Kind {
    Kind { label, group, is_text, threshold }
}

'''


def main():
    config = json.loads((FOLDER / "models/standard_v3_3/config.min.json").read_text())
    known = json.loads((FOLDER / "config/content_types_kb.min.json").read_text())
    sizes = (config["beg_size"], config["mid_size"], config["end_size"], config["block_size"])
    assert sizes == (1024, 0, 1024, 4096), sizes
    assert (config["padding_token"], config["min_file_size_for_dl"]) == (256, 8)
    labels = config["target_labels_space"]
    replaced = config["overwrite_map"]
    all_labels = labels + [label for label in OWN if label not in labels]
    lines = [HEAD, "/// Labels of the model's output.\n"]
    lines.append(f"pub const OF_MODEL: usize = {len(labels)};\n\n")
    lines.append("/// All of them, by number.\n")
    lines.append(f"pub static KINDS: [Kind; {len(all_labels)}] = [\n")
    for label in all_labels:
        about = known[label]
        group = (about["group"] or "unknown").capitalize()
        threshold = config["thresholds"].get(label, config["medium_confidence_threshold"])
        is_text = str(about["is_text"]).lower()
        lines.append(f'    kind("{label}", {group}, {is_text}, {threshold}),\n')
    lines.append("];\n")
    for name, label, what in [
        ("TXT", "txt", "text of no other kind"),
        ("UNKNOWN", "unknown", "no text, and of no other kind"),
        ("EMPTY", "empty", "of no bytes"),
    ]:
        lines.append(f"\n/// Number of the kind of files that are {what}.\n")
        lines.append(f"pub const {name}: u16 = {all_labels.index(label)};\n")
    lines.append("\n/// Labels that are always replaced, and by which.\n")
    lines.append(f"pub const REPLACED: [(u16, u16); {len(replaced)}] = [\n")
    for label, other in replaced.items():
        lines.append(f"    ({all_labels.index(label)}, {all_labels.index(other)}),\n")
    lines.append("];\n")
    path = HERE.parent / "agents/src/kinds.rs"
    path.write_text("".join(lines))
    subprocess.run(["rustfmt", "--edition", "2024", path], check=True)


main()
