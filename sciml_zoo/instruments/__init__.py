"""Learning as physics: measurements of any torch model, each with its theory beside it.

=====================  =========================================================================
instrument             what it measures
=====================  =========================================================================
``hooke``              a linear neuron as a spring: F = −kx, the error shrinks by 1 − ηh a step
``signal``             variance of signals and gradients through layers: ordered, critical, chaotic
``viscosity``          a continuous-depth network as a medium that damps perturbations
``curvature``          eigenvalues of the Hessian as inverse masses; the edge of stability
``mechanics``          kinetic, potential and dissipated energy of training with momentum
``thermodynamics``     energy, entropy, free energy and heat capacity of a Bayesian network
``waves``              a second-order linear residual network as the wave equation
``chaos``              Lyapunov exponents of the training map
``symmetry``           how identical neurons part
``phase``              transitions under regularisation
=====================  =========================================================================

Each module has a function ``measure`` that returns a frozen result with ``plot()`` and ``to_dict()``.

Example:
    >>> from sciml_zoo.instruments import hooke
    >>> result = hooke.measure(learning_rate=0.1)
    >>> figure = result.plot()
"""

#: The instruments, in the order of the table; each is a module of this package.
NAMES = (
    "hooke",
    "signal",
    "viscosity",
    "curvature",
    "mechanics",
    "thermodynamics",
    "waves",
    "chaos",
    "symmetry",
    "phase",
)

__all__ = ["NAMES"]
