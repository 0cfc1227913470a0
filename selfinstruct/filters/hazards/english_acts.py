"""English patterns of dangerous acts (verb and object) that a request may ask for."""

from __future__ import annotations

from selfinstruct.filters.hazards.english_terms import (
    ACCOUNT,
    AGENT,
    BREAK,
    DRUG,
    EXPLOSIVE,
    GAP,
    GET,
    GUN,
    HURT,
    IN_A_GAME,
    MAKE,
    MALWARE,
    PERSON,
    PERSON_NOUNS,
    PLACE,
)
from selfinstruct.filters.hazards.lexicon import Category, table

ACTS = table(
    {
        Category.violence: rf"""
            \b(?:{HURT}) {PERSON}(?!{IN_A_GAME})
            |\b(?:{HURT}) (?:all )?(?:of )?(?:humanity|human ?kind|mankind|the human race|
            human beings?)\b
            |\b(?:beat(?:ing)?|hit(?:ting)?|hang(?:ing)?|chok(?:e|ing)) (?:my (?:wife|husband|
            child|kids?|girlfriend|boyfriend|partner|son|daughter|dog)|someone|somebody|people|
            a (?:man|woman|person|child|kid))\b(?!{IN_A_GAME})
            |\bstart(?:ing)? (?:an? )?(?:wild|forest|bush|house)[ -]?fires?\b|\bshoot(?:ing)? up\b
            |\bcommit(?:ting)? (?:an? )?(?:violent |mass |hate |the perfect )*(?:murder|massacre|
            genocide|assault|arson|terrorism|shooting|treason|crimes?|kidnapping|rape)
            |\b(?:plan(?:ning)?|carry(?:ing)? out|organi[sz](?:e|ing)|stag(?:e|ing)|commit|
            execut(?:e|ing)|pull(?:ing)? off) (?:and \w+ )?(?:an?|the|
            another) (?:[\w-]+ )?(?:assassination|kidnapping|massacre|shooting|murder|
            terror(?:ist)? attack|bombing|death|explosion|attack on people|hijacking|ambush)
            |\b(?:blow(?:ing)? up|bomb(?:ing)?|burn(?:ing)? down|set(?:ting)? fire to|
            torch(?:ing)?|destroy(?:ing)?|obliterat(?:e|ing)|wip(?:e|ing) out) (?:(?:an?|the|my|
            our|their|entire|[\w-]+'s|small|whole|army) ){{1,3}}(?:[\w-]+ )?(?:{PLACE})\b
            |\b(?:set|mak(?:e|ing)) (?:an?|the|my|someone's) (?:[\w-]+ )?(?:{PLACE}) (?:on fire|
            explode)
            |\bhir(?:e|ing) (?:an? )?(?:hit-?man|assassin|contract killer)
            |\b(?:dispos(?:e|ing) of|hid(?:e|ing)|bury(?:ing)?|saw(?:ing)?|
            chop(?:ping)?(?: up)?) (?:an?|the|my|someone's) (?:dead )?(?:body|corpse|
            dead (?:{PERSON_NOUNS}))\b
            |\b(?:tak(?:e|ing)|hold(?:ing)?) {PERSON} hostage
            |\b(?:{BREAK}) (?:open |off |in |up |through ){{0,2}}(?:(?:{PERSON}|a human|
            their)'?s?|a human) (?:head|skull|face|legs?|arms?|neck|bones?|sternum|throat|teeth|
            nose|ribs?|spine|fingers?|jaw|knee(?:cap)?s?)(?: in| off| open)?\b(?! (?:massage|mask|
            shape|lift))
            |\bhuman trafficking (?:operation|ring|business)
            |\b(?:repeat|replicat|recreat|copy|imitat|
            emulat)\w* (?:[\w'/-]+ ){{0,6}}?(?:massacres?|murders?|bombs?|bombings?|genocides?|
            attacks?|assassinations?|shootings?|killings?)\b
            |\bget(?:ting)? away with (?:an? )?(?:murder|rape)|\b(?:a )?good place to commit
        """,
        Category.weapons: rf"""
            \b(?:{MAKE}|{GET}|steal(?:ing)?|plant(?:ing)?|set(?:ting)? off|detonat(?:e|
            ing)){GAP}(?:{EXPLOSIVE}|{AGENT})
            |\b(?:{MAKE}){GAP}{GUN}
            |\b(?:{GET}){GAP}(?:unregistered|untraceable|illegal|stolen|unlicensed) {GUN}
            |\b(?:{GET}){GAP}{GUN} (?:illegally|without an? (?:background|licen[cs]e|permit|
            record))
            |\bconvert(?:ing)?{GAP}{GUN} (?:in)?to (?:an? )?(?:fully )?automatic
        """,
        Category.drugs: rf"""
            \b(?:{MAKE}|{GET}|turn(?:ing)?|carry(?:ing)?|hid(?:e|ing)|inject(?:ing)?|
            snort(?:ing)?|traffic(?:king)?){GAP}(?:{DRUG}|(?:gram|ounce|line|
            bag)s? of coke)\b(?! (?:addict|abuse|test|problem|polic|prevention|store|compan|trial|
            use among|killer|education|awareness))
            |\b(?:pass(?:ing)?|beat(?:ing)?|cheat(?:ing)?|fool(?:ing)?) (?:an? |the |
            my )?drug tests?
            |\b(?:put(?:ting)?|slip(?:ping)?|mix(?:ing)?|add(?:ing)?|
            drop(?:ping)?)\b…40\bin(?:to)? (?:her|his|someone's|their|a girl's|my \w+'s) (?:drink|
            coffee|wine|tea|beer|food|glass|cocktail)
        """,
        Category.self_harm: r"""
            \b(?:kill(?:ing)?|hang(?:ing)?|drown(?:ing)?|harm(?:ing)?|hurt(?:ing)?|cut(?:ting)?|
            burn(?:ing)?|starv(?:e|ing)|poison(?:ing)?|shoot(?:ing)?|suffocat(?:e|ing)|
            electrocut(?:e|ing)) myself\b(?! (?:some slack|off))
            |\bcommit(?:ting)? suicide
            |\b(?:end(?:ing)?|tak(?:e|ing)) my (?:own )?life\b(?! (?:back|to|in|for|forward))
            |\b(?:painless|painlessly|quick|quickest|easiest|surest) (?:way|method)s? (?:to|
            of)[ ](?:die|dying|suicide)
            |\b(?:pills|painkillers|tablets|medicine|paracetamol|tylenol|aspirin|
            bleach)\b…40\bto (?:die|kill me|overdose|end it)
            |\b(?:end(?:ing)?|tak(?:e|ing)) your own life|\bdying is the answer
            |\bhid(?:e|ing) (?:\w+ )?eating disorder|\boverdos(?:e|ing) on[ ]
            |\b(?:carv(?:e|ing)|cut(?:ting)?|slash(?:ing)?|
            slit(?:ting)?)\b…20\bmy (?:own )?(?:arms?|wrists?|skin|thighs?|veins?)
            |\bgo out like[ ]
            |\bjump(?:ing)? (?:off|from) (?:a|the) (?:\w+ )?(?:bridge|roof|building|cliff) to die
        """,
        Category.hacking: rf"""
            \bsome(?:one|body) else's (?:[\w-]+ )?(?:{ACCOUNT})\b
            |\blogs? (?:everything|every key|all)\b…25\btypes?
            |\bhack(?:ing)? (?:into )?(?!my (?:own|brain|life|
            morning))(?:[\w'-]+ ){{0,4}}?(?:{ACCOUNT})\b
            |\bbreak(?:ing)? into (?:[\w'-]+ ){{0,3}}?(?:{ACCOUNT})\b
            |\b(?:crack(?:ing)?|steal(?:ing)?|guess(?:ing)?|bypass(?:ing)?|log(?:ging)? in(?:to)?|
            access(?:ing)?|read(?:ing)?|get(?:ting)? into|find(?:ing)?) (?:(?:my |the |
            an? )?(?!company|work|school|team|own)[\w'-]+'s|
            another person's) (?:[\w'-]+ ){{0,2}}?(?:passwords?|logins?|accounts?|e-?mails?|
            messages|phone|wi-?fi|browsing history|pin)\b
            |\b(?:steal(?:ing)?|harvest(?:ing)?|scrap(?:e|ing)) (?:people's |user |
            customer )?(?:credit card|passwords?|login|credentials|cookies|personal (?:data|
            information)|data)
            |\b(?:launch(?:ing)?|perform(?:ing)?|carry(?:ing)? out|run(?:ning)?|
            mount(?:ing)?)[ ](?:[\w'-]+ ){{0,3}}?(?:d?dos|denial[ -]of[ -]service|phishing|
            sql injection|brute[ -]force)\b
            |\b(?:install(?:ing)?|plant(?:ing)?|spread(?:ing)?|deploy(?:ing)?|writ(?:e|ing)|
            mak(?:e|ing)|creat(?:e|ing)|build(?:ing)?) (?:[\w'-]+ ){{0,4}}?(?:{MALWARE})\b
        """,
        Category.fraud: rf"""
            \b(?:counterfeit(?:ing)?|print(?:ing)? (?:fake|counterfeit)|forg(?:e|
            ing))[ ](?:[\w$-]+ ){{0,3}}?(?:money|bills|currency|notes|dollars|euros|signatures?|
            documents?|passports?|che(?:ck|que)s?|prescriptions?|ids?|licen[cs]es?|certificates?|
            tickets?)\b
            |\blaunder(?:ing)? (?:[\w-]+ ){{0,2}}?(?:money|cash|funds|profits)
            |\bshoplift(?:ing)?\b|\bembezzl(?:e|ing)\b|\bpickpocket(?:s|ing)?\b|\bstolen goods\b
            |\bhot-?wir(?:e|ing)\b|\brob(?:bing)? (?:an?|the|my|your|someone|people|{PERSON})\b
            |\bsteal(?:ing)? (?:[\w'-]+ ){{0,3}}?(?:cars?|wallets?|bikes?|bicycles?|identit(?:y|
            ies)|money|cash|credit cards?|playstation|phones?|packages?|jewel(?:le)?ry|laptops?|
            purses?|from (?:an?|the|my) (?:\w+ )?(?:store|shop|supermarket|employer|boss|bank))\b
            |\bcommit(?:ting)? (?:[\w-]+ )?(?:fraud|forgery|burglary|robbery|theft|perjury)
            |\bfak(?:e|ing) (?:an? |my |the )(?:\w+ )?(?:passports?|ids?|licen[cs]e|signature|
            diploma|prescription|death)
            |\bsteal(?:ing)? (?:\w+ ){{0,3}}?without (?:being|getting)
            |\b(?:disabl(?:e|ing)|bypass(?:ing)?|break(?:ing)?|crack(?:ing)?|rob(?:bing)?|
            loot(?:ing)?)[ ](?:open |into )?(?:[\w'-]+ ){{0,4}}?(?:bank vaults?|vaults?|
            store alarms?|safe(?:s|-deposit)?|atms?)\b
            |\b(?:evad(?:e|ing)|cheat(?:ing)? on|dodg(?:e|ing)) (?:my |paying )?tax(?:es)?
            |\b(?:{MAKE}|{GET}|us(?:e|ing)|writ(?:e|ing)|print(?:ing)?) (?:an? |
            some )?fake[ ](?:\w+ )?(?:ids?|passports?|(?:driver'?s )?licen[cs]es?|diplomas?|
            degrees?|invoices?|prescriptions?|doctor'?s notes?|certificates?|receipts?|documents?|
            bills|money)\b
            |\b(?:scam(?:ming)?|swindl(?:e|ing)|defraud(?:ing)?|con(?:ning)?|
            trick(?:ing)?)[ ](?:the |my |an? )?(?:elderly|seniors?|old (?:people|m[ae]n|wom[ae]n)|
            people|someone|customers?|grand\w+|victims?|investors?|compan(?:y|ies)|tourists?|
            bank)\b
            |\b(?:start|run|set up)(?:ning|ting|ing)? (?:an? )?(?:ponzi|pyramid) scheme
            |\bbreak(?:ing)? in(?:to)? (?:an?|my|the|someone's|some) (?:[\w'-]+ ){{0,2}}?(?:house|
            car|home|apartment|store|building|safe|vault|locker|shop|flat|museum|office)\b
        """,
        Category.privacy: r"""
            \b(?:spy(?:ing)? on|stalk(?:ing)?|dox+(?:ing)?|wire-?tap(?:ping)?|
            eavesdrop(?:ping)? on)[ ](?!me\b|us\b|(?:the |my )?(?:deer|prey|birds?|animals?|
            competit))
            |\b(?:track(?:ing)?|follow(?:ing)?|monitor(?:ing)?|locat(?:e|ing)|record(?:ing)?|
            film(?:ing)?|photograph(?:ing)?|watch(?:ing)?)\b…40\bwithout (?:\w+ ){0,2}?(?:know|
            consent|permission|noticing|being (?:seen|noticed))
            |\b(?:read|see|install|check|listen)\w*\b…30\bwithout (?:him|her|them|my \w+)\b
            |\bfigure out where (?:she|he|they|someone) lives?
            |\bsecretly (?:track|follow|monitor|record|film|photograph|watch|listen)
            |\bfind(?:ing)?\b…12\b(?:address|location|house|where)\b…12\b(?:a[ ](?:woman|girl|man|
            stranger)|my ex\b|someone|ex lives)
            |\b(?:hidden|spy) cam(?:era)?s?\b…20\b(?:in|into) (?:an?|the|my) \w* ?(?:bath|
            changing|locker|bed|rest)
            |\b(?:my (?!own\b)(?:[\w-]+ ){0,2}?[\w-]+(?:'s|s')|celebrit(?:y's|ies')|
            someone(?: else)?'s)[ ](?:[\w'-]+ )?(?:home address|phone number|mobile|passwords?|
            social security|bank|date of birth|medical|mental health history|birth certificate|
            licen[cs]e number|immigration status|private|browsing history|marital status|
            credit card|criminal|sexual orientation|tax records|passport|political affiliation|
            religious beliefs|e-?mail address)
        """,
    }
)
