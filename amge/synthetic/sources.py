"""What says which regions an exercise trains: studies of muscle activity, and textbooks.

A muscle that the 20 regions lack counts as the photographs count it: hip abductors to `outer_thigh`, adductors to
`inner_thigh`, those that move the ankle sideways to `feet_ankles`.
"""

SOURCES = {
    "anders-2001": "Anders, New study puts the crunch on ineffective ab exercises, ACE FitnessMatters, 2001",
    "ayotte-2007": "Ayotte et al., Electromyographical analysis of selected lower extremity muscles during 5 "
    "unilateral weight-bearing exercises, J Orthop Sports Phys Ther, 2007",
    "bobbert-1988": "Bobbert and van Ingen Schenau, Coordination in vertical jumping, J Biomech, 1988",
    "boehler-2011": "Boehler, Electromyographic analysis of the triceps brachii muscle during a variety of triceps "
    "exercises, thesis, University of Wisconsin-La Crosse, 2011",
    "borges-2018": "Borges et al., Resistance training acute session: pectoralis major, latissimus dorsi and triceps "
    "brachii electromyographic activity, J Phys Educ Sport, 2018",
    "calatayud-2015": "Calatayud et al., Muscle activity during unilateral vs. bilateral battle rope exercises, "
    "J Strength Cond Res, 2015",
    "contreras-2015": "Contreras et al., A comparison of gluteus maximus, biceps femoris, and vastus lateralis "
    "electromyographic activity in the back squat and barbell hip thrust exercises, J Appl Biomech, 2015",
    "da-silva-2008": "Da Silva et al., Analysis of muscle activation during different leg press exercises at "
    "submaximum effort levels, J Strength Cond Res, 2008",
    "delavier": "Delavier, Strength Training Anatomy, 3rd edition, Human Kinetics, 2010",
    "distefano-2009": "Distefano et al., Gluteal muscle activation during common therapeutic exercises, "
    "J Orthop Sports Phys Ther, 2009",
    "ekstrom-2007": "Ekstrom, Donatelli and Carp, Electromyographic analysis of core trunk, hip, and thigh muscles "
    "during 9 rehabilitation exercises, J Orthop Sports Phys Ther, 2007",
    "emami-2015": "Emami, Pirouzi and Taghizadeh, Comparison of abdominal and lumbar muscles electromyography activity "
    "during two types of stabilization exercises, Zahedan J Res Med Sci, 2015",
    "escamilla-1998": "Escamilla et al., Biomechanics of the knee during closed kinetic chain and open kinetic chain "
    "exercises, Med Sci Sports Exerc, 1998",
    "escamilla-2001": "Escamilla et al., Effects of technique variations on knee biomechanics during the squat and leg "
    "press, Med Sci Sports Exerc, 2001",
    "escamilla-2006": "Escamilla et al., Electromyographic analysis of traditional and nontraditional abdominal "
    "exercises, Phys Ther, 2006",
    "fenwick-2009": "Fenwick, Brown and McGill, Comparison of different rowing exercises: trunk muscle activation and "
    "lumbar spine motion, load, and stiffness, J Strength Cond Res, 2009",
    "isacowitz": "Isacowitz and Clippinger, Pilates Anatomy, Human Kinetics, 2011",
    "kaminoff": "Kaminoff and Matthews, Yoga Anatomy, 2nd edition, Human Kinetics, 2012",
    "kumar-2022": "Kumar et al., Effect of different jab techniques on peak activation of upper-body muscles in youth "
    "boxers, Theory Methods Phys Educ, 2022",
    "lehman-2004": "Lehman et al., Variations in muscle activation levels during traditional latissimus dorsi weight "
    "training exercises, Dyn Med, 2004",
    "liu-2021": "Liu et al., Training benefits and injury risks of standing yoga applied in musculoskeletal problems: "
    "lower limb biomechanical analysis, Int J Environ Res Public Health, 2021",
    "marchetti-2011": "Marchetti and Uchida, Effects of the pullover exercise on the pectoralis major and latissimus "
    "dorsi muscles as evaluated by EMG, J Appl Biomech, 2011",
    "mcallister-2013": "McAllister et al., Effect of grip width on electromyographic activity during the upright row, "
    "J Strength Cond Res, 2013",
    "mccaw-1999": "McCaw and Melrose, Stance width and bar load effects on leg muscle activity during the parallel "
    "squat, Med Sci Sports Exerc, 1999",
    "mcgill-2012": "McGill and Marshall, Kettlebell swing, snatch, and bottoms-up carry: back and hip muscle "
    "activation, motion, and low back loads, J Strength Cond Res, 2012",
    "menacho-2010": "Menacho et al., Electromyographic effect of mat Pilates exercise on the back muscle activity of "
    "healthy adult females, J Manipulative Physiol Ther, 2010",
    "moon-2019": "Moon, Park and Shin, The effects of the use of Pilates equipment during Pilates hundred, swimming "
    "exercise on the muscle activation of abdominal muscles, lumbar erector spinae, gluteus of lumbar disc disease "
    "patients, Exerc Sci, 2019",
    "neumann": "Neumann, Kinesiology of the Musculoskeletal System, 3rd edition, Elsevier, 2017",
    "ni-2014": "Ni et al., Core muscle function during specific yoga poses, Complement Ther Med, 2014",
    "novacheck-1998": "Novacheck, The biomechanics of running, Gait Posture, 1998",
    "ratthore-2015": "Ratthore et al., Electromyographical analysis of the effect of yoga posture on the trunk muscle "
    "activities and its significance, Indian J Clin Anat Physiol, 2015",
    "schoenfeld-2013": "Schoenfeld et al., Effect of hand position on EMG activity of the posterior shoulder "
    "musculature during a horizontal abduction exercise, J Strength Cond Res, 2013",
    "selkowitz-2013": "Selkowitz, Beneck and Powers, Which exercises target the gluteal muscles while minimizing "
    "activation of the tensor fascia lata?, J Orthop Sports Phys Ther, 2013",
    "serner-2014": "Serner et al., EMG evaluation of hip adduction exercises for soccer players, Br J Sports Med, 2014",
    "van-gelder-2015": "Van Gelder et al., EMG analysis and sagittal plane kinematics of the two-handed and "
    "single-handed kettlebell swing, Int J Sports Phys Ther, 2015",
    "vigotsky-2015": "Vigotsky et al., Effects of load on good morning kinematics and EMG activity, PeerJ, 2015",
    "wang-2013": "Wang et al., The biomechanical demands of standing yoga poses in seniors, BMC Complement Altern Med, "
    "2013",
}
"""By name: authors, title, where, year."""
