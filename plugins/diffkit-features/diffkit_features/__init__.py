"""Networks that others trained, as the features in which diffkit's metrics compare pictures."""

import diffkit

diffkit_api = 1


@diffkit.hookimpl
def diffkit_components() -> list[diffkit.Component]:
    """The features."""
    named = {"efficientnet": "lite:EfficientNet", "timm": "image_models:Timm", "transformers": "hub:Transformers"}
    return [diffkit.Component("features", name, f"diffkit_features.{where}") for name, where in named.items()]
