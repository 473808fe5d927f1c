"""Seeing: decode, detect, align, quality, liveness, embed. OpenCV is set up here, once for the room."""

import cv2

# A pool of workers, one per core, runs whole pictures; threads inside OpenCV would only get in each other's way.
cv2.setNumThreads(1)
# A broken picture is an answer to its sender; OpenCV would print a line about each.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
