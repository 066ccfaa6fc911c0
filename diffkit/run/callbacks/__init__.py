"""What happens beside the training steps."""

from diffkit.run.callbacks.figures import Figures
from diffkit.run.callbacks.preview import Preview
from diffkit.run.callbacks.progress import Progress
from diffkit.run.callbacks.saving import Saving
from diffkit.run.callbacks.snapshots import Snapshots
from diffkit.run.callbacks.stop import Stop

__all__ = ["Figures", "Preview", "Progress", "Saving", "Snapshots", "Stop"]
