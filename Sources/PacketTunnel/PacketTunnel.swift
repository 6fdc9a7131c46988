import CBPF
import Subprocess
