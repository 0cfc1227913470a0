"""The English lexicon of dangerous language."""

from __future__ import annotations

import re

from selfinstruct.filters.hazards.english_acts import ACTS
from selfinstruct.filters.hazards.english_terms import (
    AGENT,
    ATROCITY,
    CHILD_SAFETY,
    DENIED,
    DRUG,
    EXPLOSIVE,
    GROUP,
    GUN,
    HATEFUL,
    MALWARE,
    PRODUCE,
    SEXUAL,
    SLUR,
    WORTH_LESS,
    YOUNG,
)
from selfinstruct.filters.hazards.lexicon import Category, Lexicon, pattern, table

ORDERS = table(
    {
        Category.hate: rf"""
            \b(?:write|tell|make|give|create|say|compose|generate|post|do|invent|
            come up)\b…30\b(?:{HATEFUL})\b…20\b(?:jokes?|rant|poem|tweet|post|song|speech|slogan|
            comment|essay|message|insults?|stor(?:y|ies)|limerick|manifesto)
            |\b(?:jokes?|rant|poem|speech|song|tweet) about {GROUP}…20\bn-word
            |\b(?:drive|throw|chase|kick) (?:out )?(?:every|all|each) (?:\w+ )?{GROUP}…10\bout\b
            |\b(?:make fun of|mock|ridicule|demean|belittle|insult|dehumani[sz]e) {GROUP}
            |\b(?:why|explain|argue|convince|prove|show|believe|
            say)\b…30{ATROCITY}…30\b(?:right\b|good|justified|necessary|hoax|fake|lie\b|
            never (?:happened|took)|fabricat|did(?:n't| not) happen|deserved)
            |\b(?:restor|reviv|bring(?:ing)? back|reinstat|repeat)\w*…30(?:jim crow|segregation|
            slavery|apartheid|genocide|massacre)
        """,
        Category.discrimination: rf"""
            ^(?!.*\b(?:myth|stereotyp|prejudice|misconception|wrong|claim|racis|sexis)).*\b(?:why|
            reasons?|argue|explain|justify|prove|argument|essay|best for|good idea|
            right)\b…50?\b{GROUP}(?:'s)?…40?\b(?:{WORTH_LESS}|earn less|commit so|so (?:stupid|
            lazy|dirty|violent)|overrepresented|partners make|{DENIED})
            |\bwhy\b…30\b(?:took away|take away|den(?:y|ied)|restrict\w*) {GROUP}(?:'s)?[ ]
            |\bwhy\b…20\b(?:should|best)\b…12{GROUP} (?:go through|be kicked|be denied|pay more|
            be treated)
            |\bwhy\b…30\b(?:men|white people)\b…20\b(?:make all|superior|better than|
            overrepresented|in charge)
            |\b(?:discriminat\w+|segregat\w+) against {GROUP} (?:without|legally)
            |\bkeeps? {GROUP} (?:out|away|down)\b
            |\bnot (?:to )?(?:rent|hire|sell|lend|serve|marry|trust) (?:to )?{GROUP}
            |\bwhich (?:race|religion|gender|sex|nationality)\b…25\b(?:dumbest|worst|inferior|
            stupidest|superior|smartest)
            |\btreat {GROUP} (?:like|as) (?:under|slaves|property|animals)
        """,
        Category.abuse: rf"""
            \b{PRODUCE}\b…30\b(?:insult(?:ing|s)?|bullying|humiliating|harassing|abusive|
            degrading|hurtful) (?:\w+ )?(?:messages?|texts?|e-?mails?|letters?|notes?|comments?|
            posts?|nicknames?|poem|song|rap)
            |\b{PRODUCE}\b…30\b(?:message|text|e-?mail|letter|note|comment|post|plan)s?[ ](?:to|
            that|which) (?:will )?(?:bull(?:y|ies)|humiliate|harass|insult|taunt|body-?sham)
            |\b(?:roast|mock|insult|tease)\b…30\b(?:cr(?:y|ies)|hates?|quits?|badly)
            |\bhow\b…20\b(?:can|do|to|could)\b…12\b(?:bully|humiliate|harass|body-?shame|
            gaslight)\b
        """,
        Category.violence: rf"""
            \b(?:{PRODUCE}|send)\b…30\b(?:threatening|ransom|intimidating|blackmail)[ ](?:letter|
            note|message|e-?mail|text|call)
            |\b{PRODUCE}\b…30\bdeath threats?
            |\bplan (?:for|of|to)\b…30\b(?:terror(?:ist)? attack|shooting|bombing|assassination|
            massacre|kidnapping|murder)
            |\b{PRODUCE}\b…60\bfears? for (?:her|his|their) li(?:fe|ves)
        """,
        Category.weapons: rf"""
            \b(?:how|what|which|walk|outline|describe|draft|list|need|teach|want)\b…60\b(?:nail|
            pipe|car|dirty|fertili[sz]er|homemade|suicide)[ -]bombs?\b
            |\b(?:untraceable|ghost|unregistered|printed|homemade) {GUN}
            |\b(?:list|give|write|provide|tell|what are|explain|need)\b…30\b(?:ingredients?|
            instructions?|recipe|blueprints?|materials|steps|guide|parts) (?:for|of|
            to)[ ](?:[\w-]+ ){{0,3}}?(?:{EXPLOSIVE}|{AGENT}|ghost guns?)
            |\bwhat kind of bomb\b…40\bkill\b
        """,
        Category.drugs: rf"""
            \b(?:recipe|instructions?|ingredients) (?:for|
            of) (?:[\w-]+ ){{0,2}}?(?:{DRUG})\b(?! (?:test|addict|education))
        """,
        Category.self_harm: r"""
            \bdose\b…30\bkill (?:me|an? (?:\w+ )?(?:adult|person|man|woman))\b
            |\b(?:write|draft|compose)\b…20\b(?:my|a) (?:suicide|goodbye) (?:note|letter) (?:for|
            from)[ ]me\b
            |\b(?:encourage|convince|persuade|tell|talk|push|get) …30\b(?:to|
            into)[ ](?:kill(?:ing)? \w+sel(?:f|ves)|commit(?:ting)? suicide|jump off|harm \w+sel|
            cut \w+sel|end (?:his|her|their) life)
        """,
        Category.hacking: rf"""
            \b{PRODUCE}\b…40?\b(?:{MALWARE})\b
            |\b(?:imitate|pose as|impersonate|pretend(?:ing)? to be) …60\b(?:card number|
            passwords?|pin|login|bank details|account)\b
            |\b(?:program|script|code|app)\b…25\b(?:secretly|quietly|silently)\b
            |\b(?:script|code|program)\b…20\bbrute[- ]force
            |^\W*(?:please )?hack (?:into )?(?:my|the|this)[ ]
            |\b(?:script|code|program|tool|bot)s? (?:to|that) (?:secretly )?(?:steals?|hacks?|
            ddos|cracks?)\b
        """,
        Category.fraud: rf"""
            \b{PRODUCE}\b…20\bfake (?:[\w-]+ ){{0,3}}?(?:reviews?|charity|fundrais\w+|
            testimonials?|invoices?|receipts?|prescriptions?|doctor'?s notes?|diplomas?)
            |\bpretending\b…40\b(?:money|cash|gift cards|bail)\b
            |\b(?:doctor's note|receipt|invoice|diploma|certificate|id)s?\b…12\blooks? real
            |\b{PRODUCE}\b…20\bscam (?:message|e-?mail|text|script|call|letter)s?
        """,
        Category.privacy: rf"""
            \b(?:{PRODUCE}|help)\b…30\bdox+(?:es|ing)?\b|\bspy(?:ing)? on (?:my|a|the|someone)
            |\bhelp me find\b…20(?:address|where)\b…15\b(?:woman|man|girl|ex|person|stranger)\b
        """,
        Category.minors: rf"""
            {CHILD_SAFETY}\b(?:write|describe|tell|draw|find|where|how|show|give|create|generate|
            role-?play|act|imagine|what)\b…60?(?:\b{SEXUAL}\b…50\b{YOUNG}|
            \b{YOUNG}\b…50\b{SEXUAL}\b)
            |\bsatisfy\b…15\bpedophil
        """,
    }
)

SLURS = table(
    {
        Category.hate: rf"\b(?:{SLUR})\b",
        Category.abuse: r"""
            \b(?:mother)?fuck(?:ing|er|ers|ed|s|off)?\b|\bcunts?\b|\bassholes?\b|\bdickheads?\b
            |\b(?:you|your|stupid|dumb|fat|ugly|little|dirty)\b…15\b(?:bitch|bastard|whore|slut)\b
            |\bpiece of shit\b|\bshut the \w+ up\b|\b(?:is|are|your)\b…15\bshit\b
            |\byou(?:'re| are)? (?:all )?(?:an? |such an? |the )?(?:(?:worthless|pathetic|stupid|
            dumb|disgusting|ugly|fat|useless) )+(?:idiot|loser|pig|whale|moron|cow|imbecile)
        """,
    }
)

CLAIMS = table(
    {
        Category.hate: rf"""
            \b{GROUP} (?:are|is) (?:all |just |nothing but |like |a bunch of )*(?:vermin|rats|
            cockroaches|animals|parasites|subhumans?|scum|filth|savages|monkeys|apes|a plague|
            a cancer|a disease|pigs|dogs|trash|garbage)\b
            |\b{GROUP} …25\b(?:must|should|deserve to|need to|have to|
            ought to) (?:all )?(?:be )?(?:exterminated|killed|die|eradicated|gassed|thrown out|
            shot|lynched|drowned|wiped out|hanged)
            |\b(?:gas|kill|exterminate|burn|hang) (?:all )?(?:the )?(?:jews|muslims|blacks|gays|
            immigrants)\b
            |\bwhite power\b|\bheil hitler\b|\bdeath to (?:all )?{GROUP}
        """,
        Category.discrimination: rf"""
            \b{GROUP} (?:are|is) (?:all |naturally |inherently |generally |simply |just |
            genetically |biologically |by nature |more )*(?:{WORTH_LESS})\b
            |\bno {GROUP}(?: \w+){{0,4}}?[, ]+(?:please|allowed|need apply)
            |\b(?:don't|do not|won't|will not|never) (?:rent|hire|sell|serve|lend|
            admit) (?:to )?{GROUP}
            |\b{GROUP} (?:may|can|must|should)(?: not|not) be (?:promoted|hired|trusted|allowed|
            given)
            |\b{GROUP} (?:should|must) (?:stay|remain|be) (?:at home|in the kitchen)
            |\b(?:wom[ae]n|girls) belongs? in the kitchen
        """,
        Category.self_harm: r"""
            \b(?:should|just|go|please|and) kill yourself\b|\bkys\b
            |\b(?:nobody|no one) (?:would|will) (?:even )?miss you\b
            |\b(?:world|everyone|we|they)\b…15\bbetter (?:off )?without you\b
            |\byou (?:deserve|ought|should) (?:to )?die\b
        """,
    }
)

LEXICON = Lexicon(
    letters=re.compile("[a-z]"),
    acts=ACTS,
    orders=ORDERS,
    slurs=SLURS,
    claims=CLAIMS,
    asks=pattern(
        r"""
        \bhow (?:do|can|could|would|should|might|may) (?:i|we|you|one|someone|somebody|anyone|
        a person)\b
        |\bhow (?:could|would|should|might) an? \w+\b|\bhow to\b|\bhow (?:many|much)\b
        |\b(?:ways?|methods?|process|strategy|place|plan|techniques?|tricks?|means|recipe|list|
        instructions?|guide|tutorial|steps|tips?|ideas?|script|pointers|advice|story|advert\w*|
        slogan)\b.*\b(?:to|of|for|on)\b
        |\bwhere (?:can|could|do|should|would|is|are)\b
        |\b(?:what|which)\b.* (?:do|should|can|would|could|must|has to|have to|will) (?:i|we|you|
        one|do)\b
        |\bwhat(?:'s|'re| is| are| dose)\b
        |\b(?:i|we)(?:'d| would)? (?:want|need|like|plan|are going|am going|intend|have)\b
        |\b(?:help|teach|show|give|tell|walk|guide|convince) me\b
        |\b(?:explain|describe|outline)\b.*\bhow\b
        |\b(?:outline|rank|suggest|recommend|describe|draft|list|could you|can you|walk)\b
        |\bhelp my\b
        """
    ),
    guards=pattern(
        r"""
        \b(?:prevent\w*|stop\w*|avoid\w*|protect\w*|detect\w*|report\w*|treat\w*|respond\w*|
        against|recogni\w+|deter\w*|punish\w*|penalt\w+|laws?|legal\w*|illegal|consequences?|
        effects?|impact\w*|signs?|symptoms?|causes?|risks?|dangers?|reasons?|why|history|feel\w*|
        quit\w*|without|n't|not|never|instead of|definition|means? by|meant|mean|term|dream\w*|
        urge|anti\w*|safely|investigat\w+|arrested|accused|difference|police|companies|training|
        awareness|warning|saying|wants|thinks?|refuse\w*|survive|recover\w*|happens? (?:if|when)|
        if)\b(?!.*\bwithout (?:being|getting) caught)
        """
    ),
    fiction=pattern(
        r"""
        \b(?:video ?games?|board games?|minecraft|gta|the sims|call of duty|counter[- ]strike|
        fortnite|skyrim|zelda|dungeons|d&d|novel|stor(?:y|ies)|screenplay|movie|(?:the|an?|horror|
        short|in) films?|tv|fiction\w*|characters?|boxing|judo|karate|mma|wrestling|martial arts?|
        chess|scene|thriller|myster(?:y|ies)|fantasy|game|halloween|costume|theat(?:re|er)|
        detectives?|play about|paintball|laser tag|poem|comic|sport|tennis|football|rugby)\b
        """
    ),
    quotes=pattern(
        r"""
        \b(?:false\w*|myths?|stereotyp\w+|claim\w*|believ\w+|prejudice\w*|wrong|unfair\w*|
        racis\w+|sexis\w+|alleg\w+|propaganda|discriminat\w+|segregat\w+|hate speech|offensive|
        slurs?|insult\w*|derogatory|demean\w*|hurtful|harmful|called|calling|the (?:word|term)|
        idea that|notion|outdated)\b
        """
    ),
    denials=pattern(
        r"""
        \b(?:not|no|never|nor|neither|said|says?|argu\w+|whether|if|why|untrue|longer)\b|n't\b
        """
    ),
    moderation=pattern(
        r"""
        \b(?:classif\w+|detect\w*|label\w*|identif\w+|moderat\w+|toxic\w*|hate ?speech|offensive|
        insults?|slurs?|profan\w+|sentiment|polite\w*|polit(?:er|ely)|respectful\w*|civil|kinder|
        neutral|abusive|appropriate|inappropriate|censor|tone down|professional\w*|summari[sz]e|
        translate)\b
        """
    ),
    refuses=pattern(
        r"""
        \bi(?:'m| am) (?:really |very |so |truly )?(?:sorry|unable|not able|not going to|
        not comfortable)
        |\bi (?:can't|cannot|can not|won't|will not|must decline|must refuse|do not feel)\b
        |\bi(?:'d| would) (?:rather|prefer) not\b
        |\bi do(?:n't| not) (?:agree|support|condone|write)
        |\bas an? (?:ai|language model|responsible)\b|\bunable to (?:assist|help|provide|fulfil)
        |\b(?:can't|cannot|won't|not able to) (?:help|assist|provide|support|do that)
        |^\W*(?:no|absolutely not|never)[.,!:]
        |\bplease (?:do not|don't) (?:hurt|harm|do|try|kill|cut)\b
        |^\W*(?:they|wom[ae]n|men|people|it) (?:are not|aren't|do not|don't|is not|isn't)\b
        """
    ),
    warns=pattern(
        r"""
        \b(?:illegal|unlawful|a (?:serious )?crime|against the law|criminal offen[cs]e|unethical|
        immoral|not (?:okay|ok|acceptable|right|appropriate|legal|ethical)|never (?:okay|ok|
        acceptable)|no (?:acceptable|evidence|reason|justification|basis|excuse|scientific)|
        unacceptable|(?:false|harmful|unfair|damaging)[\w ,]{0,20}(?:stereotype|claim|idea|belief|
        premise|statement|assumption)|not true|not a good thing|inaccurate|misconception|
        incorrect|wrong to|crisis (?:line|hot ?line|text)|hot ?line|help ?line|lifeline|\b988\b|
        seek (?:help|support)|(?:reach|talk) (?:out )?to (?:a |an |someone|somebody|your|mental)|
        professional help|mental health|emergency services|counsel\w+|therapist|
        suicide prevention|discriminat\w+|stereotypes?|prejudice|bigotry|equal (?:rights|
        opportunit\w+|treatment|access)|human rights|violat\w+|deeply (?:harmful|offensive|
        disturbing)|abhorrent|tragic|they are not|they do not|shouldn't be|should not be|
        respect (?:the )?(?:privacy|that)|(?:invasion|breach|violation) of|are you safe|
        inherently|misleading|consent)\b
        """
    ),
    complies=pattern(
        r"""
        \b(?:but|however|still|that said)\b…25\b(?:here(?:'s| is| are)|first|follow|you can)
        |\bhere(?:'s| is| are) (?:how|the steps|some steps|the recipe|instructions|step)
        |\byou(?:'ll| will) need\b|\bstep 1\b|\bfor educational purposes
        """
    ),
    is_verb_final=False,
)
