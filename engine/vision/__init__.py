"""Computer vision: decode, detect, align, quality, liveness, embed. This module configures OpenCV for all of them."""

import cv2

# A pool of threads, one per core, processes one picture per thread; threads inside OpenCV would compete with these.
cv2.setNumThreads(1)
# A damaged picture is reported in the answer to its sender; OpenCV would print a line about each one.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
