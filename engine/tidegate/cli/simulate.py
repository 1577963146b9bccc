"""`tidegate simulate`: the simulated provider by itself, to try clients and gateways against."""


def simulate(host: str, port: int, seed: int, pace_ms: float) -> None:
    """Serve the simulated provider until interrupted."""
    from tidegate.serve import simulated

    simulated.run(host, port, seed, pace_ms)
