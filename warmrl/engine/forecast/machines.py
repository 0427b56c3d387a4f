"""What a plan may assume of a device: its memory, its peak in bfloat16, its memory's bandwidth. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from warmrl.domain.errors import UsageError

GB, GIB, TERA = 10**9, 2**30, 10**12


@dataclass(frozen=True)
class Machine:
    """One device.

    Args:
        name: As `--device` takes it.
        bytes: Its memory.
        peak: Dense bfloat16 operations a second; None: unknown.
        bandwidth: Bytes a second of its memory; None: unknown.
        fused_update: Whether AdamW works on all tensors at once (as torch does on a GPU), with one more copy of them.
    """

    name: str
    bytes: int
    peak: float | None = None
    bandwidth: float | None = None
    fused_update: bool = True

    @property
    def where(self) -> str:
        """In words."""
        return f"{self.name} ({self.bytes / GIB:.0f} GiB)"


# Vendor's data sheets: memory, dense bfloat16 peak (no sparsity), bandwidth.
KNOWN = {
    one.name: one
    for one in (
        Machine("h200", 141 * GB, 989 * TERA, 4.8 * TERA),
        Machine("h100", 80 * GIB, 989 * TERA, 3.35 * TERA),
        Machine("a100", 80 * GIB, 312 * TERA, 2.04 * TERA),
        Machine("l40s", 48 * GIB, 362 * TERA, 0.864 * TERA),
        Machine("rtx4090", 24 * GIB, 165 * TERA, 1.008 * TERA),
    )
}


def machine(name: str | None, processes: int) -> Machine:
    """The device called `name`, or without one what is here. Raises `UsageError`.

    On a CPU the memory is shared among the processes, and its peak says nothing: small models wait for Python.
    """
    if name in KNOWN:
        return KNOWN[name]
    if name not in (None, "cpu"):
        raise UsageError(f"`--device {name}` is not known; there are: cpu, {', '.join(KNOWN)}.")
    here = None if name == "cpu" else gpu()
    return here or Machine("cpu", psutil.virtual_memory().total // processes, fused_update=False)


def gpu() -> Machine | None:
    """This machine's GPU, with the figures of a known one of that name; None without one."""
    import torch

    if not torch.cuda.is_available():
        return None
    own, size = torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory
    label = own.lower().replace(" ", "")
    found = next((one for one in KNOWN.values() if one.name in label), None)
    return Machine(own, size, found.peak if found else None, found.bandwidth if found else None)
