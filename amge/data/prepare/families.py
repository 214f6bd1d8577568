"""Families of movements, by words in the name of an exercise."""

import re

UNSEEN = (
    "adduct_abduct",
    "dip",
    "fly",
    "glute_bridge",
    "hammer_curl",
    "leg_press",
    "lunge",
    "plank",
    "pulldown",
    "rear_delt",
    "sit_up",
    "strongman",
    "throw_slam",
    "upright_row",
)
"""Families of the open exercise photographs that no training sample is of."""

RULES = (
    ("foam_roll", r"\bsmr\b"),
    ("stretch_neck", r"\bneck (stretch|exercise|resistance|press)|chin to chest|plate neck|harness neck"),
    ("adduct_abduct", r"adductor$|abductor|adduction|abduction|groiners|bent leg groin"),
    ("wrist", r"\bwrist|finger curl|farmer|plate pinch"),
    (
        "stretch_leg",
        r"90/90|(leg|groin|hamstring|quad|calf|calves|gastrocnemius|glute|runner'?s|hip|world'?s greatest).* stretch"
        r"|^(ankle|knee) circles|standing hip circles|hip circles|ankle on the knee|toe touches|adductor/groin"
        r"|iron crosses|lying hamstring|chair leg",
    ),
    ("stretch_upper", r"stretch|(arm|elbow|shoulder) circles|hug|child'?s pose|overhead lat\b"),
    ("sit_up", r"sit-?up"),
    ("hammer_curl", r"hammer"),
    ("upright_row", r"upright row"),
    ("rear_delt", r"rear delt (raise|row)|face pull|pull apart|reverse fly"),
    ("fly", r"\bfly|flye|butterfly|crossover|svend|pullover"),
    ("glute_bridge", r"hip thrust|glute bridge|butt-up|butt lift|glute-ham|butt kick|^(lying|seated) glute$"),
    ("plank", r"\bplank\b|(?<!side )\bbridge\b|crawl"),
    ("crunch", r"crunch|roller|rollout|air bike"),
    ("oblique_twist", r"twist|side bend|windmill|wood ?chop|rotation|landmine|pallof|side bridge|oblique"),
    ("pulldown", r"pull-?down"),
    ("strongman", r"atlas stone|tire flip|conan|sandbag|circus|battling|keg load|log lift"),
    ("throw_slam", r"\bslam|throw|pass between|chest pass"),
    ("shrug", r"shrug"),
    ("calf_raise", r"calf (raise|press)|calves|toe raise"),
    ("leg_press", r"leg press|hack squat|leg extension"),
    ("leg_curl", r"leg curl|hamstring curl|glute ham raise"),
    ("lunge", r"lunge|step-? ?up|split squat"),
    ("clean_snatch", r"\bclean\b(?! and jerk)|snatch"),
    ("shoulder_press", r"jerk|military|thruster"),
    ("push_up", r"push-?ups?\b"),
    ("jump", r"jump|hop\b|hops\b|bound|leap|skip\b|box squat"),
    ("squat", r"squat"),
    ("deadlift", r"deadlift|good morning|rack pull|hyperextension|superman|stiff leg"),
    ("dip", r"\bdips?\b"),
    (
        "triceps_ext",
        r"tricep|skull ?crusher|kickback|push-?down|close-grip (barbell )?bench|close-grip barbell|jm press|tate press",
    ),
    ("pull_up", r"pull-?ups?\b|chin-?ups?\b|\bchins?\b|muscle up|rope climb"),
    ("row", r"\brows?\b|rowing"),
    ("biceps_curl", r"curl"),
    ("bench_press", r"(bench|chest|floor|decline|chain|pin) press|chest (push|squeeze)|guillotine"),
    ("leg_raise", r"(leg|legs|hip|knee|knee/hip) (raise|pull-in|tuck)|flutter|scissor|pike|dead bug|to knee$|touchers"),
    (
        "lateral_raise",
        r"(lateral|front|deltoid|delt)s?\b.* raise|front delt|lateral|scaption|iron cross|cuban|car drivers|partials",
    ),
    (
        "run_cardio",
        r"run\b|running|jogging|walk|sprint|bike|bicycling|elliptical|sled|step mill|stair|carry|carioca|drill",
    ),
    ("shoulder_press", r"press"),
)
"""Family and pattern, of which the first that is found in the name counts."""


def family_of(name: str) -> str:
    """The family of the exercise called `name`, `other` if no rule fits.

    >>> family_of("Dumbbell Rear Lunge")
    'lunge'
    """
    return next((family for family, pattern in RULES if re.search(pattern, name, re.IGNORECASE)), "other")
