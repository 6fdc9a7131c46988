import CLDNS
import Blocklist
