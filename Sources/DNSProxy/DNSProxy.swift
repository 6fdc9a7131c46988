import Blocklist
import CLDNS
