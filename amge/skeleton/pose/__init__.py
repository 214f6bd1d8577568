"""From video to skeletons: pose estimators, and the tracking of persons through a clip."""

from amge.skeleton.pose.estimators import ESTIMATORS, PoseEstimator, estimator
from amge.skeleton.pose.persons import PersonClip, person_clips
from amge.skeleton.tracking import Tracker

__all__ = ["ESTIMATORS", "PersonClip", "PoseEstimator", "Tracker", "estimator", "person_clips"]
