"""Operations, parameters and bytes as sparse polynomials in the number of kept lanes.

Every node's work and every tensor's size is a product of axis lengths, and every length a
polynomial in dims. Expanded once, the cost of any plan is one array expression.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spa_onnx.algebra.expression import Dim, Expr, Factor, Fixed
from spa_onnx.algebra.size import Monomial, Polynomial, Size, polynomial, product, symbol, terms_of
from spa_onnx.algebra.space import Space
from spa_onnx.analyse.propagate import Propagation
from spa_onnx.load.store import byte_length

FloatArray = NDArray[np.float64]


class Cost(Protocol):
    """What widths cost."""

    def at(self, widths: NDArray[np.int64]) -> float:
        """Return the cost when dim ``k`` keeps ``widths[k]`` lanes."""
        ...

    def marginal(self, widths: NDArray[np.int64], dim: int) -> float:
        """Return what one lane less of ``dim`` saves."""
        ...


@dataclass(frozen=True, slots=True)
class CostPolynomial:
    """A cost as ``sum_m coefficients[m] * prod_j widths[variables[m, j]]``.

    Attributes:
        coefficients: ``(monomials,)``.
        variables: ``(monomials, degree)`` indices into the widths; the index one past the last dim
            stands for the constant one.
    """

    coefficients: FloatArray
    variables: NDArray[np.int64]

    def at(self, widths: NDArray[np.int64] | FloatArray) -> float:
        """Return the cost when dim ``k`` keeps ``widths[k]`` lanes; fractions interpolate."""
        extended = np.append(widths.astype(np.float64), 1.0)
        return float(self.coefficients @ extended[self.variables].prod(axis=1))

    def marginal(self, widths: NDArray[np.int64], dim: int) -> float:
        """Return what one lane less of ``dim`` saves."""
        fewer = widths.copy()
        fewer[dim] -= 1
        return self.at(widths) - self.at(fewer)


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs of one model over its prunable dims, in the order of the dims given.

    Attributes:
        operations: multiply-accumulate operations of contractions at the nominal input size.
        parameters: elements of float and of 8-bit or smaller integer initializers, and of weights
            that the graph fills.
        bytes: bytes of all initializers.
    """

    operations: CostPolynomial
    parameters: CostPolynomial
    bytes: CostPolynomial


class Lengths:
    """Writes axis lengths as polynomials whose variables are dims, called by their numbers."""

    def __init__(self, space: Space, index: Mapping[Dim, int], nominal: Mapping[str, int]) -> None:
        self._space, self._index, self._nominal = space, index, nominal

    def of(self, expr: Expr) -> Size:
        """Return the length of an axis."""
        return sum((product(map(self._factor, t)) for t in self._space.normal(expr)), 0)

    def _factor(self, factor: Factor) -> Size:
        if isinstance(factor, Dim):
            return symbol(f"{self._index[factor]}") if factor in self._index else factor.size
        if isinstance(factor, Fixed):
            return self._number(factor.size)
        return self.of(factor.expr)

    def _number(self, size: Size) -> Size:
        if not isinstance(size, Polynomial):
            return size
        return sum(n * product(self._nominal.get(name, 1) for name in m) for m, n in size.terms)


def costs(state: Propagation, dims: Sequence[Dim], nominal: Mapping[str, int]) -> Costs:
    """Return the cost polynomials of a solved graph.

    Args:
        state: the solved graph.
        dims: the variables; every other dim counts with its full width.
        nominal: numbers for the symbols of dynamic axes, 1 where none is given.
    """
    lengths = Lengths(state.space, {d: k for k, d in enumerate(dims)}, nominal)
    work = (
        product(map(lengths.of, factors))
        for coupling in state.couplings
        if coupling is not None
        for factors in coupling.work
    )
    parameters, sizes = [], []
    for name, tensor in state.graph.tensors.items():
        if name in state.graph.twins:
            continue  # another use of a constant that is in the file once
        axes = state.axes_of(name) if name in state.axes else None
        elements: Size = (
            product(map(lengths.of, axes)) if axes is not None else product(tensor.dims)
        )
        if tensor.data_type != STRING:
            sizes.append(elements * _element_bytes(byte_length(tensor), product(tensor.dims)))
        if tensor.data_type in FLOATING:
            parameters.append(elements)
    for name in state.generated:
        axes = state.axes_of(name)
        if axes is not None and state.is_weight(name) and len(axes):
            parameters.append(product(map(lengths.of, axes)))
    count = len(dims)
    return Costs(_compile(work, count), _compile(parameters, count), _compile(sizes, count))


STRING = 8
FLOATING = frozenset({1, 2, 3, 10, 11, 16, *range(17, 29)})
"""TensorProto types that count as parameters: all floats, and the integers of quantised weights."""


def _element_bytes(total: int, elements: Size) -> int:
    return max(1, total // elements) if isinstance(elements, int) and elements else 0


def _compile(sizes: Iterable[Size], constant: int) -> CostPolynomial:
    """Add up sizes and lay their monomials out as arrays, padded with the constant's index."""
    terms: tuple[tuple[Monomial, int], ...] = terms_of(
        polynomial(chain.from_iterable(map(terms_of, sizes)))
    )
    degree = max((len(m) for m, _ in terms), default=0)
    rows = [[*map(int, m), *[constant] * (degree - len(m))] for m, _ in terms]
    variables = np.array(rows, np.int64).reshape(len(terms), degree)
    return CostPolynomial(np.array([n for _, n in terms], np.float64), variables)
