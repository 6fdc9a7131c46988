import TOMLKit
import Logging
import ServiceLifecycle
