"""Prints the measurements of variants.py as a table in Markdown: `python3 table.py FILE.json...`"""

import json
import pathlib
import sys

print("| model | variant | ‖a−b‖ / ‖b‖ | max \\|d\\| | changed | within a bf16 step | coherence | alike / unlike | near copy |")
print("|---|---|---|---|---|---|---|---|---|")
for path in sys.argv[1:]:
    for row in json.loads(pathlib.Path(path).read_text()):
        distance = row["distance"]
        classes = distance["classes"]
        alike = sum(classes.get(name, 0) for name in ("identical", "negligible", "rounding", "noise"))
        unlike = sum(classes.get(name, 0) for name in ("structured", "sparse", "other"))
        share = lambda part: f"{100 * distance[part] / distance['parameters']:.2f}%"
        coherence = "–" if distance["median_coherence"] is None else f"{distance['median_coherence']:.2f}"
        verdict = "yes" if distance["verdict"]["is_near_copy"] else "no"
        print(
            f"| {row['model']} | {row['kind']}: {row['variant']} | {distance['relative_l2']:.1e} | {distance['max_difference']:.1e}"
            f" | {share('changed_parameters')} | {share('within_bf16_step')} | {coherence} | {alike} / {unlike} | {verdict} |"
        )
