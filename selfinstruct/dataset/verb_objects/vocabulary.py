"""Word lists that english.py uses to find a verb and its object; a missing word costs a pair."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VERBS = _words(
    """
    act adapt add address adjust advise aggregate alphabetize alter analyse analyze answer append
    apply appraise approximate argue arrange articulate ask assemble assess assign assist assume
    balance brainstorm break brief build calculate capitalize caption capture cast categorise
    categorize change characterise characterize chart check choose cite clarify classify clean code
    collect combine come comment compare compile complete compose compress compute conclude condense
    conduct configure conjugate connect consider construct continue contrast contribute convert
    convince correct count craft create criticise criticize critique debate debug decide deduce
    define delete deliver demonstrate derive describe design detail detect determine develop devise
    diagnose differentiate discover discuss display distinguish divide draft draw edit elaborate
    eliminate enhance encode enumerate establish estimate evaluate examine expand explain explore
    express extend extract factor fill filter find finish fix follow forecast form format formulate
    gather generalise generalize generate get give group guess hypothesise hypothesize identify
    illustrate imagine implement improve include incorporate indicate infer insert inspect integrate
    interpret introduce invent investigate join judge justify label list locate look make mark match
    measure mention merge model modify multiply name narrate negate note offer optimise optimize
    order organise organize outline output paint paraphrase parse perform persuade pick plan play
    plot point pose praise predict prepare present pretend print prioritise prioritize process
    produce program pronounce proofread propose prove provide punctuate put quote rank rate read
    rearrange recall recite recommend reconstruct record recreate redesign reduce refactor refer
    refine reformat reformulate reframe refute rehearse relate remove rename reorder reorganise
    reorganize rephrase replace reply report represent reproduce research resolve respond restate
    restructure retell retrieve return reverse review revise reword rewrite rhyme roleplay round run
    say scan score search select separate sequence set share shorten show simplify simulate sketch
    solve sort specify spell split spot standardise standardize state structure substitute subtract
    suggest sum summarise summarize supply support switch synthesise synthesize tabulate take talk
    teach tell test think tidy total trace transcribe transform translate transpose trim turn
    uncover underline unscramble update use validate verify visualise visualize weigh work write
    """
)
"""Verbs of requests to a text model, in British and American spelling."""

PARTICLES = _words("down in off out up with")
"""Particles between a verb and its object: come up with, fill in."""

ARTICLES = _words(
    "a an the this that these those my your our its their his her some any each every"
)
"""After a noun they start another phrase: two tools an engineer could use."""

SKIPPED = ARTICLES | _words(
    """
    all both another one two three four five six seven eight nine ten me us him them most more many
    several few given following
    """
)
"""Words before a noun that do not belong to it."""

PARTITIVES = _words("couple kind lot number pair piece range series set sort type variety")
"""Nouns of quantity: the head of "a set of questions" is "questions"."""

ENDS = _words(
    """
    of for in on at near to with without about from by into between as than over under through
    during before after against among within per regarding concerning using containing including
    describing explaining featuring involving showing given based via towards toward so such and or
    but if when while because that which who whose where what how why whether is are was were has
    have do does can should would could will must may might be below above like not it they you i he
    she we there here then too instead according behind around across along despite beyond outside
    inside since until upon due except written made known taken named called now today
    """
)
"""Words that end a noun phrase."""

ADJECTIVES = _words(
    """
    short brief long new old good bad best better creative simple detailed small large big clear
    concise formal informal funny interesting original unique different similar possible relevant
    appropriate positive negative complete full complex easy effective engaging compelling catchy
    persuasive following given provided same specific general modern popular common major main own
    real single double great happy sad quick healthy
    """
)
"""Adjectives before a comma, where the noun still follows: a short, funny story."""

NOUNS_IN_LY = _words("ally anomaly assembly butterfly family monopoly reply supply")
"""Nouns in -ly, which are not adverbs."""

NOUNS_IN_IE = _words("brownie calorie cookie movie pie rookie selfie smoothie tie zombie")
"""Nouns whose plural in -ies only loses the s."""

UNCHANGED = _words("chaos economics lens mathematics news physics series species")
"""Nouns in -s that are not plurals."""
