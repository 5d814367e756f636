"""Which icon of the FxEmojis set draws which concept: the set has names of its own, so this was checked by eye."""

_TABLE = """
1F004:mahjong 1F0CF:playingcardblackjoker 1F17F:negativesquaredlatincapitalletterp 1F18E:negativesquaredab
1F191:squaredcl 1F192:squaredcool 1F193:squaredfree 1F194:squaredid 1F195:squarednew 1F196:squaredng 1F197:squaredok
1F198:squaredsos 1F199:squaredup 1F19A:squaredvs 1F201:squaredkatakanakoko 1F202:squaredkatakanasa
1F250:circledideographadvantage 1F251:circledideographaccept 1F300:cyclone 1F301:foggy 1F303:nightwithstars
1F304:sunriseovermountains 1F305:sunrise 1F306:cityscapeatdusk 1F307:sunsetoverbuildings 1F308:rainbow
1F309:bridgeatnight 1F30A:wave 1F30B:volcano 1F30C:milkyway 1F30D:europeafricaglobe 1F30E:americasglobe
1F30F:asiaaustraliaglobe 1F310:meridianglobe 1F311:newmoon 1F312:waxingcrescentmoon 1F313:firstquartermoon
1F314:waxinggibbousmoon 1F315:fullmoon 1F317:lastquartermoon 1F318:waningcrescentmoon 1F319:crescentmoon
1F31A:newmoonwithface 1F31B:firstquartermoonface 1F31C:lastquartermoonface 1F31D:fullmoonwithface 1F31E:sunwithface
1F320:shootingstar 1F321:thermometer 1F324:whitesunsmallcloud 1F325:whitesunbehindcloud 1F326:sunraincloud
1F327:raincloud 1F328:snowcloud 1F32A:tornado 1F331:seedling 1F332:evergreen 1F333:deciduoustree 1F334:palmtree
1F335:cactus 1F336:chilipepper 1F337:tulip 1F338:cherryblossom 1F339:rose 1F33A:hibiscus 1F33B:sunflower 1F33C:blossom
1F33D:earofmaize 1F33E:earofrice 1F33F:herb 1F340:fourleafclover 1F341:mapleleaf 1F342:fallingleaf
1F343:leaffluttering 1F344:mushroom 1F345:tomato 1F346:aubergine 1F347:grapes 1F348:melon 1F349:watermelon
1F34A:tangerine 1F34B:lemon 1F34C:banana 1F34D:pineapple 1F34E:redapple 1F34F:greenapple 1F350:pear 1F351:peach
1F352:cherries 1F353:strawberry 1F354:hamburger 1F355:sliceofpizza 1F356:meatonbone 1F357:poultryleg 1F358:ricecracker
1F359:riceball 1F35A:cookedrice 1F35B:curryandrice 1F35C:steamingbowl 1F35D:spaghetti 1F35E:bread 1F35F:frenchfries
1F360:roastedsweetpotato 1F361:dango 1F362:oden 1F363:sushi 1F364:friedshrimp 1F365:fishcakeswirl 1F366:softicecream
1F367:shavedice 1F368:icecream 1F369:doughnut 1F36A:cookie 1F36B:chocolatebar 1F36C:candy 1F36D:lollipop 1F36E:custard
1F36F:honeypot 1F370:shortcake 1F371:bentobox 1F372:potoffood 1F373:cooking 1F374:forkknife 1F375:teacupwithouthandle
1F376:sakebottleandcup 1F377:wineglass 1F378:cocktailglass 1F379:tropicaldrink 1F37A:beermug 1F37B:clinkingbeermugs
1F37C:babybottle 1F381:present 1F382:birthdaycake 1F383:jackolantern 1F384:christmastree 1F385:fatherchristmas
1F386:fireworks 1F387:fireworksparkler 1F388:balloon 1F389:partypopper 1F38A:confetti 1F38B:tanabatatree
1F38C:crossedflags 1F38D:pinedecoration 1F38E:japanesedolls 1F38F:carpstreamer 1F390:windchime
1F391:moonviewingceremony 1F392:schoolsatchel 1F393:graduationcap 1F396:militarymedal 1F397:reminder 1F399:studiomic
1F39A:levelslider 1F39B:controlknob 1F39E:filmframes 1F39F:admissiontickets 1F3A0:carouselhorse 1F3A1:ferriswheel
1F3A2:rollercoaster 1F3A3:fishingpoleandfish 1F3A4:microphone 1F3A5:moviecamera 1F3A6:cinema 1F3A7:headphone
1F3A8:artistpalette 1F3A9:tophat 1F3AA:circustent 1F3AB:ticket 1F3AC:clapperboard 1F3AD:performingarts 1F3AE:videogame
1F3AF:directhit 1F3B0:slotmachine 1F3B1:billiards 1F3B2:gamedie 1F3B3:bowling 1F3B4:flowerplayingcards
1F3B5:musicalnote 1F3B6:multiplemusicalnotes 1F3B7:saxophone 1F3B8:guitar 1F3B9:musicalkeyboard 1F3BA:trumpet
1F3BB:violin 1F3BC:musicalscore 1F3BD:runningshirt 1F3BE:tennisball 1F3BF:skiandskiboot 1F3C0:basketballandhoop
1F3C2:snowboarder 1F3C3:running 1F3C4:surfer 1F3C5:sportsmedal 1F3C6:trophy 1F3C7:horseracing 1F3C8:americanfootball
1F3C9:rugbyfootball 1F3CA:swimming 1F3CB:weightlifter 1F3CC:golfer 1F3CD:motorcycle 1F3CE:racecar 1F3D4:snowmountains
1F3D5:camping 1F3D8:housebuildings 1F3D9:cityscape 1F3DB:classicalbuilding 1F3DC:desert 1F3DD:desertisland
1F3DE:nationalpark 1F3DF:stadium 1F3E0:housebuilding 1F3E1:housewithgarden 1F3E2:officebuilding
1F3E3:japanesepostoffice 1F3E4:europeanpostoffice 1F3E5:hospital 1F3E6:bank 1F3E7:automatedtellermachine 1F3E8:hotel
1F3E9:lovehotel 1F3EA:conveniencestore 1F3EB:school 1F3EC:departmentstore 1F3ED:factory 1F3EE:izakayalantern
1F3EF:japanesecastle 1F3F0:europeancastle 1F3F5:rosette 1F3F7:label 1F400:rat 1F401:mouseside 1F402:ox
1F403:waterbuffalo 1F404:cow 1F405:tigerside 1F406:leopardside 1F407:bunnyside 1F408:catside 1F409:dragonside
1F40A:crocodile 1F40B:whale 1F40C:snail 1F40D:snake 1F40E:horse 1F40F:ram 1F410:goat 1F411:sheep 1F412:monkey
1F413:rooster 1F414:chicken 1F415:dogside 1F416:pigside 1F417:boar 1F418:elephant 1F419:octopus 1F41A:spiralshell
1F41B:bug 1F41C:ant 1F41D:honeybee 1F41E:ladybeetle 1F41F:fish 1F420:tropicalfish 1F421:blowfish 1F422:turtle
1F423:hatchingchick 1F424:babychick 1F425:frontfacingchick 1F426:bird 1F427:penguin 1F428:koala 1F429:poodle
1F42A:dromedarycamel 1F42B:bactriancamel 1F42C:dolphin 1F42E:cowface 1F430:bunny 1F432:dragonhead 1F433:spurtingwhale
1F434:horseface 1F435:monkeyface 1F438:frog 1F439:hampster 1F43A:wolfface 1F43B:bear 1F43C:pandaface 1F43D:pigsnout
1F43E:pawprints 1F43F:chipmunk 1F440:eyes 1F441:eye 1F442:ear 1F443:nose 1F444:lips 1F445:tongue 1F44A:fistedhand
1F44B:waving 1F44C:aok 1F44D:thumbsup 1F44E:reversethumbsdown 1F44F:clap 1F450:hands 1F451:crown 1F452:womanshat
1F453:glasses 1F454:tie 1F455:mansshirt 1F456:jeans 1F457:dress 1F458:kimono 1F459:bikini 1F45A:womansshirt
1F45B:pinkwallet 1F45C:handbag 1F45D:makeupbag 1F45E:mensshoe 1F45F:mensrunner 1F460:heels 1F461:sandals 1F462:boot
1F463:footprints 1F464:contact 1F465:contact2 1F466:boy 1F467:girl 1F468:man 1F469:woman 1F46A:family 1F46B:girlguy
1F46C:guyguy 1F46D:girlgirl 1F46E:cop 1F46F:bunny-ears 1F470:bride 1F471:blonde 1F472:guapimao 1F473:turban 1F474:gpa
1F475:gma 1F476:baby 1F477:construct 1F478:princess 1F479:ogre 1F47A:japaneseangrymask 1F47B:ghost 1F47C:babyangel
1F47D:alien 1F47E:alienmonster 1F47F:imp 1F480:skull 1F481:waitress 1F482:guardsman 1F483:dancer 1F484:lipstick
1F485:nailpolish 1F486:headmassage 1F487:haircut 1F488:barberpole 1F489:syringe 1F48A:pill 1F48B:kissmark
1F48C:loveletter 1F48D:ring 1F48E:gem 1F48F:couplekiss 1F490:bouquetofflowers 1F492:wedding 1F493:beating-heart
1F494:brokenheart 1F495:2hearts 1F496:sparklingheart 1F497:growingheart 1F498:heartarrow 1F49A:heartgreen
1F49B:heartyellow 1F49C:heartpurple 1F49D:heartribbon 1F49E:revolvinghearts 1F49F:heartdecoration
1F4A0:diamondshapewithdotinside 1F4A1:lightbulb 1F4A2:anger 1F4A3:bomb 1F4A4:zzz 1F4A5:collision 1F4A6:sweatsplash
1F4A7:droplet 1F4A8:dash 1F4A9:poo 1F4AA:flexbicep 1F4AB:dizzy 1F4AC:speechbubble 1F4AD:thoughtbaloon
1F4AE:whiteflower 1F4AF:hundredpointssymbol 1F4B0:moneybag 1F4B1:currencyexchange 1F4B2:heavydollarsign
1F4B3:creditcard 1F4B4:banknoteyen 1F4B5:banknotedollar 1F4B6:banknoteeuro 1F4B7:banknotepound 1F4B8:moneywithwings
1F4B9:chartupwardstrendyen 1F4BA:seat 1F4BB:personalcomputer 1F4BC:briefcase 1F4BD:minidisc 1F4BE:floppydisk2
1F4BF:opticaldiscicon 1F4C0:dvd 1F4C1:folder 1F4C2:openfolder 1F4C3:pagewithcurl 1F4C4:pagefacingup 1F4C5:calendar
1F4C6:tearoffcalendar 1F4C7:cardindex 1F4C8:chartupwardstrend 1F4C9:chartdownwardstrend 1F4CA:barchart 1F4CB:clipboard
1F4CC:pushpin 1F4CD:roundpushpin 1F4CE:paperclip 1F4CF:straightruler 1F4D0:triangularruler 1F4D1:bookmarktab
1F4D2:ledger 1F4D3:notebook 1F4D4:notebookdecorativecover 1F4D5:closedbook 1F4D6:openbook 1F4D7:greenbook
1F4D8:bluebook 1F4D9:orangebook 1F4DA:books 1F4DB:namebadge 1F4DC:scroll 1F4DD:memo 1F4DE:telephonereceiver2
1F4DF:pager 1F4E0:faxicon 1F4E1:satelliteantenna 1F4E2:loudspeaker 1F4E3:bullhorn 1F4E4:outbox 1F4E5:inboxtray
1F4E6:package 1F4E7:envelopewithlightning 1F4E8:incomingenvelope 1F4E9:envelopedownarrowabove
1F4EA:closedmailboxlowered 1F4EB:closedmailboxraised 1F4EC:openmailboxraised 1F4ED:openmailboxlowered 1F4EE:postbox
1F4EF:postalhorn 1F4F0:newspaper 1F4F1:cellphone 1F4F2:phonerightarrowleft 1F4F3:vibrationmode 1F4F4:mobilephoneoff
1F4F5:nomobilephones 1F4F6:antennawithbars 1F4F7:camera 1F4F8:camerawithflash 1F4F9:handheldvideocamera
1F4FA:television 1F4FB:portablestereo 1F4FC:videocasette 1F4FD:filmprojector 1F500:twistedrightwardsarrows
1F501:clockwiserightwardsleftwardscirclearrows 1F502:clockwiserightwardsleftwardscirclearrowsone
1F503:clockwisedownupcircledarrows 1F504:anticlockwiseupwardsanddownwardsarrows 1F505:lowbrightness
1F506:highbrightness 1F507:speakercancellation 1F508:speaker 1F509:speakerwith1soundwave 1F50A:speaker3soundwaves
1F50B:battery 1F50C:electricplug 1F50D:leftmagnifyingglass 1F50E:rightmagnifyingglass 1F50F:lockwithinkpen
1F510:lockandkey 1F511:key 1F512:lock 1F513:openlock 1F514:ringingbell 1F515:bellcancellation 1F516:bookmark
1F517:linksymbol 1F518:radiobutton 1F519:backwithleftwardsarrow 1F51A:endwithleftwardsarrow 1F51B:onarrowleftright
1F51C:soonwithrightarrow 1F51D:topwithupwardsarrow 1F51E:nooneunder18symbol 1F51F:ten
1F520:inputsymbolforlatincapitalletters 1F521:inputsymbolforlatinsmallletters 1F522:inputsymbolfornumbers
1F523:inputsymbolforsymbols 1F524:inputsymbolforlatinletters 1F525:fire 1F526:electrictorch 1F527:wrench 1F528:hammer
1F529:nutandbolt 1F52A:hocho 1F52B:pistol 1F52C:microscope 1F52D:telescope 1F52E:crystalball
1F52F:sixpointedstarwithdot 1F530:japanesesymbolforbeginner 1F531:tridentemblem 1F532:blacksquarebutton
1F533:whitesquarebutton 1F534:largeredcircle 1F535:largebluecircle 1F536:largeorangediamond 1F537:largebluediamond
1F538:smallorangediamond 1F539:smallbluediamond 1F53A:uppointingredtriangle 1F53B:downpointingredtriangle
1F549:omsymbol 1F54A:doveofpeace 1F550:clock1oclock 1F551:clock2oclock 1F552:clock3oclock 1F553:clock4oclock
1F555:clock6oclock 1F556:clock7oclock 1F55B:clock12oclock 1F55C:clock1thirty 1F55D:clock2thirty 1F55E:clock3thirty
1F55F:clock4thirty 1F560:clock5thirty 1F561:clock6thirty 1F567:clock12thirty 1F56F:candle 1F570:manltepiececlock
1F573:hole 1F574:maninbusinesssuitlevitating 1F575:sleuthspy 1F576:darksunglasses 1F577:spider 1F578:spiderweb
1F587:linkedpaperclips 1F58A:lowerleftpen 1F58B:lowerleftfountainpen 1F58C:lowerleftpaintbrush 1F58D:lowerleftcrayon
1F590:raisedhandsfingerssplayed 1F595:reversehandmiddlefinger 1F5A5:desktopcomputer 1F5A8:printericon
1F5B1:twobuttonmouse 1F5B2:trackball 1F5BC:framewithpicture 1F5C2:cardindexdividers 1F5C3:cardfilebox
1F5C4:filecabinet 1F5D1:wastebasket 1F5D2:spiralnotepad 1F5D3:spiralcalendarpad 1F5DC:compression 1F5DD:oldkey
1F5DE:rolledupnewspaper 1F5E1:daggerknife 1F5E3:speakingheadinsilhouette 1F5E8:leftspeechbubble 1F5EF:rightangerbubble
1F5FA:worldmap 1F5FB:mountfuji 1F5FC:toykotower 1F5FD:statueofliberty 1F5FE:silhouetteohjapan 1F5FF:moyai
1F600:grinwide 1F601:grineyes 1F602:grintears 1F603:grinwideeyes 1F605:grinsweat 1F606:grinsquint 1F607:halo
1F608:devilhorns 1F609:winking 1F60A:smileeyes 1F60B:smiletongue 1F60C:relieved 1F60D:hearteyes 1F60E:sunglasses
1F60F:smirk 1F610:neutral 1F611:expressionless 1F612:unamused 1F613:sweat 1F614:pensive 1F615:confused
1F616:confounded 1F617:kissing 1F618:kiss 1F619:kisseyes 1F61A:kissclosedeyes 1F61B:tongueout 1F61C:tongueoutwink
1F61D:tongueoutwink2 1F61E:disappointed 1F61F:worried 1F620:angry 1F621:pouting 1F622:crying 1F623:perservere
1F624:triumph 1F625:dissapointedrelief 1F626:frownmouth 1F627:anguish 1F628:fearful 1F629:weary 1F62A:sleepy
1F62B:tired 1F62C:grimacing 1F62D:loudlycrying 1F62E:openmouth 1F62F:hushed 1F630:coldsweat 1F631:screamfear
1F632:astonished 1F633:flushed 1F634:sleeping 1F635:dizzyface 1F636:nomouth 1F637:medicalmask 1F641:smallfrown
1F642:smallsmile 1F645:nogesture 1F646:okgesture 1F647:bowing 1F648:monkeysee 1F649:monkeyhear 1F64A:monkeyspeak
1F64B:handup 1F64C:high5 1F64E:pout 1F64F:pray 1F680:rocket 1F681:helicopter 1F682:steamlocomotive 1F683:railwaycar
1F684:highspeedtrain 1F685:highspeedtrainbulletnose 1F686:train 1F687:metro 1F688:lightrail 1F689:station 1F68A:tram
1F68C:bus 1F68D:oncomingbus 1F68E:trolleybus 1F68F:busstop 1F690:minibus 1F691:ambulance 1F692:fireengine
1F693:policecar 1F694:oncomingpolicecar 1F695:taxi 1F696:oncomingtaxi 1F697:automobile 1F698:oncomingautomobile
1F699:recreationalvehicle 1F69A:deliverytruck 1F69B:articulatedlorry 1F69C:tractor 1F69D:monorail
1F69E:mountainrailway 1F69F:suspensionrailway 1F6A0:mountaincableway 1F6A1:aerialtramway 1F6A2:ship 1F6A3:rowboat
1F6A4:speedboat 1F6A5:horizontaltrafficlight 1F6A6:verticaltrafficlight 1F6A7:constructionsign
1F6A8:policecarsrevolvinglight 1F6AA:door 1F6AB:noentrysign 1F6AC:smokingsymbol 1F6AD:nosmokingsymbol
1F6AE:putlitterinitsplacesymbol 1F6AF:donotlittersymbol 1F6B0:potablewatersystem 1F6B1:nonpotablewatersymbol
1F6B2:bicycle 1F6B3:nobicycles 1F6B4:bicyclist 1F6B6:walking 1F6B7:nopedestrians 1F6B8:childrencrossing
1F6B9:menssymbol 1F6BA:womenssymbol 1F6BB:restroom 1F6BC:babysymbol 1F6BD:toilet 1F6BE:watercloset 1F6BF:shower
1F6C0:bath 1F6C1:bathtub 1F6C2:passportcontrol 1F6C3:customs 1F6C4:baggageclaim 1F6C5:leftluggage 1FA9F:window
203C:doubleexclaimationmark 2049:exclaimationquestionmark 2139:informationsource 2194:leftrightarrow 2195:updownarrow
2196:northwestarrow 2197:northeastarrow 2198:southeastarrow 21A9:leftwardsarrowwithhook 21AA:rightwardsarrowwithhook
231A:watch 231B:hourglassflowingsand 2328:wiredkeyboard 23F0:alarmclock 23F3:hourglassflowingsand
24C2:circledlatincapitalletterm 25AA:blacksmallsquare 25AB:whitesmallsquare 25FB:whitemediumsquare
25FC:blackmediumsquare 25FD:whitemediumsmallsquare 25FE:blackmediumsmallsquare 2600:sunrays 2601:cloud 2602:umbrella
260E:blacktouchtonetelephone 2611:ballotboxwithcheck 2614:umbrellawithraindrops 2615:hotbeverage
2620:blackskullcrossbones 263A:whitesmilingface 2648:aries 2649:taurus 264A:gemini 264B:cancer 264C:leo 264D:virgo
264E:libra 264F:scorpius 2650:saggitarius 2651:capricorn 2652:aquarius 2653:pisces 2660:blackspadesuit
2663:blackclubsuit 2665:blackheartsuit 2666:blackdiamondsuit 2668:hotsprings 267B:blackuniversalrecyclingsymbol
267F:wheelchairsymbol 2693:anchor 26A0:warningsign 26A1:bolt 26AA:mediumwhitecircle 26AB:mediumblackcircle
26BD:soccerball 26BE:baseball 26C4:snowmanwithoutsnow 26C5:sunbehindcloud 26C8:stormcloud 26CE:ophiuchus 26D4:noentry
26EA:church 26F1:beachumbrella 26F2:fountain 26F3:flaginhole 26F5:sailboat 26FA:tent 26FD:fuelpump 2702:blackscissors
2705:whiteheavycheckmark 2708:airplane 2709:envelope 270A:raisedfist 270C:victoryhand 270D:leftwritinghand 270F:pencil
2712:blacknib 2714:heavycheckmark 2716:heavymultiplicationsymbol 271D:heavylatincross 2728:sparkles
2734:eightpointedblackstar 2744:snowflake 2747:sparkle 274C:crossmark 274E:negativesquaredcrossmark
2753:blackquestionmark 2754:whitequestionmark 2755:whiteexclaimationmark 2757:heavyexclaimationmarksymbol
2764:redheart 2795:heavyplussign 2796:heavyminussign 2797:heavydivisionsign 27A1:blackrightwardsarrow 27B0:curlyloop
27BF:doublecurlyloop 2B05:leftwardsblackarrow 2B1B:blacklargesquare 2B1C:whitelargesquare 2B50:whitemediumstar
2B55:heavylargecircle 3030:wavydash 303D:partalternationmark 3297:circledideographcongratulation
3299:circledideographsecret
"""

FXEMOJI: dict[str, str] = dict(entry.split(":") for entry in _TABLE.split())
"""Icon name by concept code."""
