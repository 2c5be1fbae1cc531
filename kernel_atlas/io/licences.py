"""Which licences let weights be used for any purpose."""

# as the hub names them: https://huggingface.co/docs/hub/repositories-licenses
PERMISSIVE = {"apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "cc-by-4.0", "cc0-1.0", "unlicense"}


def is_permissive(licence: str | None) -> bool:
    """Whether a licence, in any case of letters, is one of `PERMISSIVE`; one that is not stated is not."""
    return (licence or "").lower() in PERMISSIVE
