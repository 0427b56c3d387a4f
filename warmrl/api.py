"""Everything a plugin needs to register itself, without torch: base classes, config, the hook marker."""

import pluggy

from warmrl.domain.answer import AnswerStyle
from warmrl.domain.config import AnswerChoice, Choice, Config, DatasetChoice, RewardChoice, TeacherChoice
from warmrl.domain.dataset import Dataset, DatasetConfig
from warmrl.domain.errors import (
    DataError,
    PluginError,
    RecipeError,
    ServiceError,
    StorageError,
    UsageError,
    WarmrlError,
)
from warmrl.domain.group import Completion, Group
from warmrl.domain.method import Curator, FunnelStep, Method
from warmrl.domain.metric import Metric
from warmrl.domain.names import MetricName
from warmrl.domain.problem import Image, Message, Problem, Text
from warmrl.domain.reward import PooledRewardConfig, Reward, RewardConfig
from warmrl.domain.sample import Grade, Sample, Value, Verdict
from warmrl.domain.sampler import Request, Sampler, SamplerConfig
from warmrl.domain.stages import ADDED, NOT_SEMANTIC, CuratorConfig, MethodConfig, StageConfig
from warmrl.domain.teacher import Teacher, TeacherConfig
from warmrl.plugin.spec import Register

hookimpl = pluggy.HookimplMarker("warmrl")

__all__ = [
    "ADDED",
    "NOT_SEMANTIC",
    "AnswerChoice",
    "AnswerStyle",
    "Choice",
    "Completion",
    "Config",
    "Curator",
    "CuratorConfig",
    "DataError",
    "Dataset",
    "DatasetChoice",
    "DatasetConfig",
    "FunnelStep",
    "Grade",
    "Group",
    "Image",
    "Message",
    "Method",
    "MethodConfig",
    "Metric",
    "MetricName",
    "PluginError",
    "PooledRewardConfig",
    "Problem",
    "RecipeError",
    "Register",
    "Request",
    "Reward",
    "RewardChoice",
    "RewardConfig",
    "Sample",
    "Sampler",
    "SamplerConfig",
    "ServiceError",
    "StageConfig",
    "StorageError",
    "Teacher",
    "TeacherChoice",
    "TeacherConfig",
    "Text",
    "UsageError",
    "Value",
    "Verdict",
    "WarmrlError",
    "hookimpl",
]
