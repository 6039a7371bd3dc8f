/**
 * Words for the names of a stream's lines: common ones, each one token in common vocabularies. 320 of each make 102,400
 * names, so that a line 100,000 lines back has one of its own.
 */

export const adjectives: readonly string[] = words(`
	able ancient angry anxious apparent aquatic atomic average awful basic beautiful bitter black blank blue
	bold brief bright brilliant broken brown calm careful casual certain cheap chemical chronic civil clean
	clear clever close coastal common complex concrete cool corporate correct crazy creative cruel cultural
	curious daily dangerous dead deep definite dense different difficult direct distant domestic double dry
	due dynamic early eastern easy elastic electric elegant empty endless entire equal essential fierce
	exact exotic expensive explicit faint fair false famous fancy fast fatal favorite female few final
	financial fine fiscal fixed flat foreign formal free frequent fresh frozen full future general generous
	genuine giant glad golden good graphic grave gray green gross happy hard harsh heavy helpful hidden
	historic hollow honest horizontal hostile huge humble ideal familiar immediate imperial important
	industrial inner innocent intense internal iron joint junior kind large late legal lengthy liberal
	limited linear literary little lively logical lonely loose loud lovely loyal lucky magic main major
	manual marine massive maximum mechanical mental mere military minor mobile modern moral musical
	mysterious eternal narrow native natural neat negative nervous new nice noble normal northern obvious odd
	official open optical oral orange ordinary original outer oval parallel partial past patient peaceful
	permanent personal pink plain plastic polite political poor positive possible practical precise present
	previous primary private probable profound proper proud public purple quick random rapid rare ready real
	red regional regular religious remote rich rival robust rough round royal rural sacred safe salty
	scientific secure senior sensitive serious severe sharp short shy silent silver single slight slow smart
	smooth social solar solid southern spare spatial spiritual steady sticky stiff straight strategic strict
	strong subtle sudden supreme surgical sweet tall technical tender terminal thermal thin tight tiny tough
	toxic tragic tropical true typical ultimate universal upper urban useful usual vague valuable vast
	vertical vibrant violent visible visual vivid warm weak weekly weird western white whole wild wise
	wonderful wrong yellow
`);

export const nouns: readonly string[] = words(`
	account actor airport album angel animal arch area army arrow aunt baby ball band bar barn basket bath
	beach bear beast bee bell bench bird blanket blood boat body bone book border boss bowl box brain bread
	brick brother brush bull bus button cabin cage cake camera camp candle cap car card cart castle cave
	chain chair chamber channel chart cheese cherry chest child church city clay clock cloth club coach
	coast coffee coin column copper corner cottage couch court cow crab crane cream crop crown curtain dance
	deer desk diamond doctor dog dollar door drawer dream drum duck eagle ear egg elbow engine eye face
	factory farm father feather ferry field finger fire flag flame flower fly forest fork fountain fox
	friend frog game gas gate gift girl glove goat grain grape guard guest guitar hair hammer hand hat hawk
	heart helmet hero hook horn hospital hotel hunter husband ink insect ivory jacket jar jet judge juice
	key king knee knight ladder lake lamb lawn lawyer leather leg letter library lip lock machine magnet
	mail map market master mayor meat medal milk mill mirror monkey mother motor mouse mouth muscle museum
	neck needle net nurse oil orchard oven ox paint palace palm paper parent parrot path pearl pen piano pig
	pin pipe planet plate player poet pond pool port potato priest printer prison purse puzzle rabbit rail
	ranch rat ribbon rice ring road robot roof room rope rose ruler sailor salt sand saw school screen seal
	seed shadow shelf shield ship shoe shop sign silk sister skin sled smoke snow soap soldier son spear
	spider spoon square stable stairs stamp station statue stone store straw stream string student suit sun
	table tail tank tape teacher tent thread thumb tiger tin tongue tooth torch town toy tray tree trumpet
	tub tunnel turtle valley vase vessel violin wagon watch water wheel whip wind window wing wire woman
	wood worker worm yard
`);

function words(text: string): string[] {
	return text.trim().split(/\s+/);
}
