"""JSON Schemas of the files that a person writes, for editors that complete YAML and mark mistakes."""

from cnnexp.schema.models import MODEL_FILE, of_blocks, of_model, text

__all__ = ["MODEL_FILE", "of_blocks", "of_model", "text"]
