"""Settings that lead nowhere."""

from infra.servers import free_port


def nowhere() -> dict[str, str]:
    """Environment of a machine on which no server runs."""
    port = free_port()
    return {
        "VISIONDIRECTOR_BROKER_URL": f"redis://127.0.0.1:{port}/0",
        "VISIONDIRECTOR_LEDGER_URL": f"redis://127.0.0.1:{port}/1",
        "VISIONDIRECTOR_S3_ENDPOINT": f"http://127.0.0.1:{port}",
        "VISIONDIRECTOR_S3_ACCESS_KEY": "nobody",
        "VISIONDIRECTOR_S3_SECRET_KEY": "nothing",
    }
