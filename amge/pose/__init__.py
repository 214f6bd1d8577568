"""From video to skeletons: pose estimators, and the tracking of persons through a clip."""

from amge.data.track import Tracker
from amge.pose.estimators import ESTIMATORS, PoseEstimator, estimator
from amge.pose.persons import PersonClip, person_clips

__all__ = ["ESTIMATORS", "PersonClip", "PoseEstimator", "Tracker", "estimator", "person_clips"]
