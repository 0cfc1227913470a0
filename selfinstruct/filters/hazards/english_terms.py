"""Groups of English words that the patterns share: people, objects, verbs."""

from __future__ import annotations

from selfinstruct.filters.hazards.lexicon import verbs, words

PERSON_NOUNS = words("""
    people persons? humans? someone somebody anyone anybody m[ae]n wom[ae]n child(?:ren)? kids?
    bab(?:y|ies) toddlers? infants? teen(?:ager)?s? girls? boys? guys? wi(?:fe|ves) husband spouse
    partner boyfriend girlfriend ex mother mom mum father dad parents? sister brother son daughter
    step(?:mother|father|brother|sister|son|daughter) (?:mother|father)-in-law family uncle aunt
    grand(?:ma|pa|mother|father|parents) cousin neighbou?rs? boss manager co-?workers? colleagues?
    teachers? professor students? pupils? classmates? friends? room-?mates? landlord tenants?
    politicians? president prime_minister senator judge priest police(?:m[ae]n|_officers?)? cops?
    soldiers? nurses? doctors? prisoners? hostages? victims? crowd civilians? villagers? strangers?
    passengers? patients? pedestrians? date enem(?:y|ies) rival celebrit(?:y|ies) immigrants?
    refugees? muslims? jews christians? populations? races? ethnic_groups? him her them others
    each_other
""")
DETERMINERS = words(r"""
    an? the my your his her their our another other some any these those this that all as many more
    several innocent [\w-]+'s (?:group|bunch|lot|crowd)s?_of
""")
PERSON = (
    rf"(?:(?:{DETERMINERS}) ){{0,4}}(?:(?!(?:not|the|to|in|of)\b)[\w-]+ ){{0,2}}?"
    rf"(?:{PERSON_NOUNS})\b(?!'s (?:argument|record|fever|pain|interest))"
)
"""A person noun with the determiners and adjectives before it; not in a harmless idiom."""

HURT = verbs("""
    kill murder assassinate strangle throttle suffocate smother stab behead decapitate butcher
    dismember massacre slaughter lynch torture mutilate maim poison gas(?:sing)? execute exterminate
    annihilate eliminate eradicate liquidate terminate decimate destroy demolish wipe_out get_rid_of
    drown electrocute burn scald skin crucify impale bury snipe shoot bomb rape molest
    kidnap(?:ping)? abduct capture imprison subdue overpower sedate tie_up enslave traffic(?:king)?
    assault attack ambush hunt_down hurt injure wound harm cripple paralyze disfigure torment
    intimidate threaten blackmail mug run_over beat_up knock_out bludgeon whip flog punch kick slap
    smash bash crush shatter push tackle slash gut sawing chop_up cut_off
""")
BREAK = verbs("""
    break smash crack shatter crush cut slit slash hammer rip tear gouge snap bash kick punch stab
    chop saw pierce burn disfigure carve twist
""")
"""Verbs done to a part of the body."""
IN_A_GAME = (
    r" (?:at|in) (?:an? |the )?(?:\w+ )?(?:chess|checkers|poker|cards|golf|game|race|\w+ball|tennis"
    r"|argument|debate|monopoly|scrabble|mario|fortnite|swimming|running|quiz)"
)
PLACE = words("""
    hospitals? buildings? houses? home schools? church mosque synagogue temple (?:air)?plane train
    bridge car bus (?:army_|military_)?base airport city town village embassy station stadium mall
    apartments? office tower dam factory shop store forest world
""")

GROUP_ADJECTIVES = words("""
    black white brown asian arab african jewish gay trans transgender lesbian bisexual queer
    non-?binary asexual disabled deaf blind autistic indigenous native elderly old homeless poor
    rural working-class low-income unemployed illiterate uneducated obese overweight fat pregnant
    divorced single muslim hindu christian mexican latino hispanic chinese indian roma foreign
    female immigrant nigerian pakistani
""")
GROUP_NOUNS = words("""
    people persons? m[ae]n wom[ae]n folks? kids children students mothers workers girls boys
    americans citizens famil(?:y|ies) employees
""")
GROUP_NAMES = words("""
    blacks asians? mexicans? latin[oa]s hispanics? arabs? africans? pakistanis? nigerians? koreans?
    japanese chinese muslims? jews? hindus? buddhists? sikhs? catholics? atheists? immigrants?
    refugees? migrants? foreigners? gyps(?:y|ies) roma wom[ae]n girls females? gays? lesbians?
    homosexuals? transsexuals? minorit(?:y|ies) people_with_disabilities people_of_colou?r
    people_on_(?:welfare|benefits) the_(?:elderly|homeless|poor|disabled|blind|deaf)
""")
GROUP = (
    r"(?:(?:all|these|those|most|many|young|old|the) )*"
    rf"(?:(?:{GROUP_ADJECTIVES}) (?:{GROUP_NOUNS})|{GROUP_NAMES})\b"
)
"""People with a protected characteristic in common."""

WORTH_LESS = words("""
    inferior subhuman less_(?:intelligent|human|capable|worthy) (?:so_much_)?worse weaker unfit
    (?:so_)?(?:stupid|dumb|lazy|dirty|greedy|primitive) stupid dirty lazier dumber dirtier violent
    dangerous criminals? terrorists? thieves rapists a_burden a_threat too_emotional uncivili[sz]ed
    abnormal bad_(?:at|drivers|leaders) not_as_(?:smart|good|capable) the_(?:dumbest|smartest)
""")
RIGHTS = words("""
    allowed permitted admitted banned barred denied discriminated deported expelled excluded
    segregated kicked stripped rights? vot(?:e|ing) visas? hired hold run_for adopt marry loans?
    access earn equal have_(?:kids|children|the_freedom|a_say|access) (?:stay_)?at_home teach serve
    security_checks make_decisions decisions_for_them near public_office
""")
DENIED = (
    r"(?:not|no|n't|never|less|fewer|better|best|be|away|under)\b"
    rf"(?! (?:considered|seen|called|known))…20?\b(?:{RIGHTS})\b"
)

EXPLOSIVE = (
    r"(?<!bath )(?<!seed )(?<!glitter )(?<!stink )(?<!chocolate )(?<!cocoa )(?<!photo)"
    r"(?:bombs?\b(?! (?:cake|dessert|cyclone|cocktail|shelter|disposal))|explosives?\b|molotov|"
    r"grenades?\b|napalm|thermite|dynamite|\bc-?4\b|\bieds?\b|landmines?\b|\btnt\b)"
)
AGENT = (
    r"(?:nerve (?:gas|agent)|sarin|\bvx\b|mustard gas|chlorine gas|poison(?:ous)? gas|ricin\b|"
    r"anthrax|(?:bio|chemical|biological|nuclear)[ -]?weapons?|botulinum|cyanide)"
)
GUN = (
    r"(?:guns?|pistols?|rifles?|shotguns?|revolvers?|handguns?|firearms?|silencers?|suppressors?)\b"
    r"(?! (?:control|safety|laws?|violence|range|show|owner|rack|cabinet|metal))"
)
DRUG = words("""
    (?:crystal_)?meth(?:amphetamine)? amphetamines? crack(?:_cocaine)? cocaine heroin fentanyl lsd
    ecstasy mdma dmt ghb pcp ketamine opium opioids oxycontin mari[jh]uana cannabis weed narcotics
    steroids (?:illegal|hard|street|date_rape)_drugs? drugs roofies? (?:magic|psilocybin)_mushrooms
""")
ACCOUNT = words("""
    accounts? e-?mails? messages phones? computers? laptops? webcams? cameras? wi-?fi networks?
    websites? servers? systems? databases? instagram facebook snapchat whatsapp icloud gmail banks?
    atms? passwords? routers? devices? grid
""")
MALWARE = words("""
    key-?loggers? ransomware malware spyware stalkerware trojans? rootkits? botnets? backdoors?
    computer_virus(?:es)? virus_(?:that|for_me|in_c|in_python|which|to) worm_that
    phishing_(?:(?:text_)?messages?|e-?mails?|pages?|sites?|websites?|texts?|links?|campaigns?)
""")
MAKE = verbs("""
    make build construct assemble create produce prepare cook 3d[_-]?print(?:ing)? manufacture
    synthesi[sz](?:e|ing) culture weaponi[sz](?:e|ing) develop design brew extract
""")
GET = verbs("buy get acquire obtain purchase score find sell deal smuggle order")
GAP = r" (?:(?!(?:off|from|over|rid|against|about|to)\b)[^ .?!\n]+ ){0,4}?"
"""Up to four words between a verb and its object."""
PRODUCE = r"(?:write|create|make|draft|compose|generate|give me|develop|design|code|build|prepare)"

HATEFUL = words("""
    racist sexist homophobic transphobic anti-?semitic islamophobic xenophobic hateful bigoted
    misogynist(?:ic)? white_supremacist n-word
""")
ATROCITY = (
    r"(?:hitler|the holocaust|slavery|slave trade|9/11|colonialism|apartheid|the nazis|the kkk|"
    r"trail of tears|lynchings?|"
    r"(?:[\w']+ ){0,4}?(?:genocide|massacres?|shooting|ethnic cleansing))"
)
YOUNG = (
    r"(?:child(?:ren)?|minors?|kids?|school-?(?:girl|boy)s?|pre-?teens?|underage|toddlers?|"
    r"(?:[1-9]|1[0-7]|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen)"
    r"[ -]years?[ -]olds?|aged? (?:of )?(?:[1-9]|1[0-7])\b|little (?:girl|boy)s?|"
    r"(?:middle|high|elementary)[ -]schoolers?|lolis?|teen(?:age)?r? (?:girl|boy)s?)"
)
SEXUAL = (
    r"(?:erotic\w*|sexual|sexually|sexy|nudes?|naked|porn\w*|seduc\w+|arous\w+|horny|sexting|"
    r"undress\w*|sex (?:with|scene)|love scene|making out|molest\w*|groom(?:ing)?|lust\w*)"
)
CHILD_SAFETY = (
    r"(?![^.?!\n]*(?:educat|prevent|protect|laws?\b|consent|report|puberty|teach(?:ing)?\b|"
    r"abuse[ds]?\b|safety|warning|talk|explain|victims?|disorder|treatment))"
)
"""Lookahead: the sentence is not about keeping children safe."""

SLUR = words("""
    nigg(?:er|a)s? kikes? spics? wetbacks? gooks? rag-?heads? towel-?heads? pakis faggots? fags?
    trann(?:y|ies) beaners? jigaboos? darkies zipperheads? (?:you|those|these|such|are)_retards?
    (?:an?|the|you)_(?:fucking_)?retard
""")
