"""Draw the packages of relu_attack and their imports as docs/figures/architecture.svg.

Run ``python scripts/draw_architecture.py`` after a change of what a package imports. An arrow leads from a package to
one that it imports; imports that follow from a chain of other arrows are left out. Rows follow from the imports
(longest path), so that every arrow leads downwards; a circle is an error.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE, PICTURE = ROOT / "relu_attack", ROOT / "docs" / "figures" / "architecture.svg"
BASICS = "errors, _checks, _deadline, …"
"""One box for the modules without imports of their own: named errors and private helpers."""

WIDTH, ROW, HEIGHT, LETTER, MARGIN = 860, 62, 28, 7.4, 12  # pixels
SWEEPS = 24  # of the barycentre heuristic, which converges in fewer

Graph = Mapping[str, set[str]]


def node_of(module: str) -> str:
    """Return the box of a top-level module: its own, or the common one of the helpers."""
    return BASICS if module.startswith("_") or module == "errors" else module


def imported_names(path: Path) -> Iterator[str]:
    """Yield the top-level modules of the package that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "relu_attack":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("relu_attack."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("relu_attack."))


def read_imports() -> Graph:
    """Return the direct imports between the packages."""
    imports: dict[str, set[str]] = {BASICS: set()}
    for path in PACKAGE.rglob("*.py"):
        top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if top in ("__init__", "__main__"):
            continue
        found = {node_of(name) for name in imported_names(path) if not name.startswith("__")}
        imports.setdefault(node_of(top), set()).update(found - {node_of(top)})
    imports[BASICS].clear()
    return imports


def reachable(graph: Graph, start: str) -> set[str]:
    """Return the nodes that paths from a node lead to."""
    found: set[str] = set()
    stack = [start]
    while stack:
        new = graph[stack.pop()] - found
        found |= new
        stack.extend(new)
    if start in found:
        raise SystemExit(f"{start} imports itself by way of others")
    return found


def reduce_edges(graph: Graph) -> Graph:
    """Return the transitive reduction: no edge that a longer path implies."""
    beyond = {node: reachable(graph, node) for node in graph}
    return {node: {to for to in ends if not any(to in beyond[via] for via in ends)} for node, ends in graph.items()}


def find_rows(graph: Graph) -> dict[str, int]:
    """Return the row of each node, 0 at the bottom: one above the highest node that it imports."""
    rows: dict[str, int] = {}
    for node in sorted(graph, key=lambda node: len(reachable(graph, node))):
        rows[node] = 1 + max((rows[end] for end in graph[node]), default=-1)
    return rows


def route(graph: Graph, rows: Mapping[str, int]) -> list[list[str]]:
    """Return each edge as a path with one point a row; points between the ends are named after the edge."""
    paths = []
    for node, ends in sorted(graph.items()):
        for end in sorted(ends):
            between = [f"{node}>{end}@{row}" for row in range(rows[node] - 1, rows[end], -1)]
            paths.append([node, *between, end])
    return paths


def width_of(point: str) -> float:
    return 16 if "@" in point else LETTER * len(point) + 20


def place(rows: Mapping[str, int], paths: list[list[str]]) -> dict[str, float]:
    """Return horizontal centres: the points of each row in the order of the mean of their neighbours."""
    levels: list[list[str]] = [[] for _ in range(max(rows.values()) + 1)]
    near: dict[str, list[str]] = {}
    for node, row in sorted(rows.items()):
        levels[row].append(node)
    for path in paths:
        for step, (one, two) in enumerate(itertools.pairwise(path)):
            near.setdefault(one, []).append(two)
            near.setdefault(two, []).append(one)
            if step:
                levels[rows[path[0]] - step].append(one)
    x = {point: WIDTH / 2 for level in levels for point in level}
    for _ in range(SWEEPS):
        for level in levels:
            level.sort(key=lambda point: sum(x[other] for other in near[point]) / len(near[point]))
            gap = (WIDTH - sum(map(width_of, level))) / (len(level) + 1)
            left = gap
            for point in level:
                x[point] = left + width_of(point) / 2
                left += width_of(point) + gap
    return x


def draw(rows: Mapping[str, int], paths: list[list[str]], x: Mapping[str, float]) -> str:
    """Return the picture as SVG."""
    height = ROW * (max(rows.values()) + 1) + 2 * MARGIN
    y = {row: height - MARGIN - ROW * row - ROW / 2 for row in range(max(rows.values()) + 1)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for path in paths:
        top = rows[path[0]]
        ends = [(x[point], y[top - step]) for step, point in enumerate(path)]
        ends[0] = (ends[0][0], ends[0][1] + HEIGHT / 2)
        ends[-1] = (ends[-1][0], ends[-1][1] - HEIGHT / 2)
        line = f"M{ends[0][0]:.0f},{ends[0][1]:.0f}"
        for (x0, y0), (x1, y1) in itertools.pairwise(ends):
            line += f" C{x0:.0f},{(y0 + y1) / 2:.0f} {x1:.0f},{(y0 + y1) / 2:.0f} {x1:.0f},{y1:.0f}"
        parts.append(f'<path d="{line}" fill="none" stroke="#555" marker-end="url(#tip)"/>')
    for node, row in rows.items():
        wide = width_of(node)
        parts.append(
            f'<rect x="{x[node] - wide / 2:.0f}" y="{y[row] - HEIGHT / 2:.0f}" width="{wide:.0f}" height="{HEIGHT}" '
            f'rx="4" fill="#eee" stroke="#222"/>'
            f'<text x="{x[node]:.0f}" y="{y[row] + 4.5:.0f}" text-anchor="middle">{node}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    graph = reduce_edges(read_imports())
    rows = find_rows(graph)
    paths = route(graph, rows)
    PICTURE.write_text(draw(rows, paths, place(rows, paths)))
    print(f"{PICTURE.relative_to(ROOT)}: {len(graph)} packages, {len(paths)} arrows")


if __name__ == "__main__":
    main()
