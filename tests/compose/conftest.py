from strangers import install

__all__ = ["install"]
