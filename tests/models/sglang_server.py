"""The real SGLang server on this machine's CPU, over a tiny checkpoint made from code."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from infra.servers import free_port
from tasks.settings import load_settings
from worker.profiles.tiny import VLM, make

CHECKOUT = Path(__file__).resolve().parents[2]
KIT = CHECKOUT / "infra" / "sglang"
VENV = CHECKOUT / ".venv-sglang"
START_SECONDS = 300.0
MODEL, ADAPTER = "tiny-qwen3-vl", "tuned"


def tiny_checkpoint() -> Path:
    """The checkpoint's folder, made when it is not there."""
    return make(VLM, load_settings().model_cache, _python())


def _python() -> Path:
    python = VENV / "bin" / "python"
    if not python.exists():
        raise RuntimeError(f"there is no {VENV.name}: run `make setup-sglang`")
    return python


@dataclass
class SglangServer:
    """Started and killed as often as wanted, always on the same port."""

    checkpoint: Path
    log: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Returns when the server answers; raises RuntimeError with the end of its log when it doesn't."""
        _python()
        command = [
            KIT / "serve_cpu.sh", VENV, self.checkpoint, str(self.port), "--served-model-name", MODEL,
            "--enable-lora", "--lora-paths", f"{ADAPTER}={self.checkpoint / 'adapter'}", "--max-lora-rank", "8",
            "--lora-target-modules", "q_proj", "v_proj", "--max-loras-per-batch", "2", "--lora-backend", "torch_native",
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"SGLang did not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.5)

    def load_adapter(self, name: str, folder: Path) -> None:
        """Raises httpx.HTTPStatusError with what the server says of it."""
        self._adapter("load", {"lora_name": name, "lora_path": str(folder)})

    def unload_adapter(self, name: str) -> None:
        """Returns when nothing runs on it any more."""
        self._adapter("unload", {"lora_name": name})

    def _adapter(self, verb: str, about: dict[str, str]) -> None:
        url = f"{self.url.removesuffix('/v1')}/{verb}_lora_adapter"
        httpx.post(url, json=about, timeout=120).raise_for_status()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/models", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """SIGKILL to the server and all its children."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
