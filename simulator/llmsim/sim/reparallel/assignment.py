"""The assignment problem: Kuhn's and Munkres' method in O(rows² · columns)."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf


def best_assignment(gains: Sequence[Sequence[float]]) -> list[int]:
    """A column for every row, none twice, with the largest sum of gains. Pure query.

    Rows are added one by one; each takes the shortest augmenting path over reduced costs (Kuhn 1955, Munkres
    1957, in the form with potentials of Jonker and Volgenant 1987).

    Args:
        gains: By row and column; at least as many columns as rows.

    Example:
        >>> best_assignment([[5, 4], [5, 1]])
        [1, 0]
    """
    rows, columns = len(gains), len(gains[0]) if gains else 0
    assert rows <= columns or not rows
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    owner = [0] * (columns + 1)  # the row of each column, from 1; 0 for none
    for row in range(1, rows + 1):
        owner[0] = row
        came_from = _shortest_path(gains, owner, row_price, column_price)
        column = came_from[-1]
        while column:
            before = came_from[column]
            owner[column] = owner[before]
            column = before
    chosen = [0] * rows
    for column in range(1, columns + 1):
        if owner[column]:
            chosen[owner[column] - 1] = column - 1
    return chosen


def _shortest_path(
    gains: Sequence[Sequence[float]], owner: list[int], row_price: list[float], column_price: list[float]
) -> list[int]:
    """From ``owner[0]`` to a free column: each column's predecessor, and at the end the free column."""
    columns = len(column_price) - 1
    slack, came_from, used = [inf] * (columns + 1), [0] * (columns + 1), [False] * (columns + 1)
    column = 0
    while owner[column] or not column:
        used[column] = True
        row, step, nearest = owner[column], inf, 0
        for other in range(1, columns + 1):
            if used[other]:
                continue
            cost = -gains[row - 1][other - 1] - row_price[row] - column_price[other]
            if cost < slack[other]:
                slack[other], came_from[other] = cost, column
            if slack[other] < step:
                step, nearest = slack[other], other
        for other in range(columns + 1):
            if used[other]:
                row_price[owner[other]] += step
                column_price[other] -= step
            else:
                slack[other] -= step
        column = nearest
    return [*came_from, column]
