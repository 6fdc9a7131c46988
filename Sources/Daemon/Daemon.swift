import Logging
import ServiceLifecycle
import TOMLKit
