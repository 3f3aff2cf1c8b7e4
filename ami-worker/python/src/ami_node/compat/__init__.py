"""Code written for other systems as nodes: thin wrappers, the code itself stays as it is.

```python
from ami_node.compat import from_ami2
from threshold import EventProcessor  # as it ran in AMI2

threshold = from_ami2(EventProcessor, outputs={"image": "u2[:, :]"})
```
"""

from .ami2 import from_ami2
from .livereduce import from_livereduce, post_livereduce
from .om import collect_om, from_om
from .pvapy import from_pvapy

__all__ = ["collect_om", "from_ami2", "from_livereduce", "from_om", "from_pvapy", "post_livereduce"]
